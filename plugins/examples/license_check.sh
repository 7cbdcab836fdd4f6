#!/bin/sh
# A plugin of phase post-build: no package may be under a licence that the site forbids.
#
# Argument `forbidden`: an extended regular expression, such as "AGPL|SSPL".
# It talks with the builder in lines of JSON, see docs/plugins.md. Two promises of the builder make that possible
# without a JSON parser: a message is one line, and a package in the answer is one object without others in it.
set -u

fail() {
    printf '{"error":{"class":"configuration","text":"%s"}}\n' "$1"
    exit 0
}

# The value of the text $1 in an object on standard input, as it stands between the quotes.
text() {
    sed -n 's/.*"'"$1"'":"\(\([^"\\]\|\\.\)*\)".*/\1/p'
}

read -r start || fail "there is no first message"
case $start in
*'"protocol":1,'* | *'"protocol":1}'*) ;;
*) fail "this plugin speaks protocol 1" ;;
esac
# Only what is inside of the arguments; the rest of the message may have such a key too.
forbidden=$(printf '%s\n' "$start" | sed -n 's/.*"args":{\([^}]*\)}.*/{\1}/p' | text forbidden)
[ -n "$forbidden" ] || fail "the argument forbidden is missing: an extended regular expression"

printf '{"get":"packages"}\n'
read -r answer || fail "there is no answer"
case $answer in
*'"get":"packages"'*'"value":['*) ;;
*) fail "the packages cannot be had" ;;
esac

printf '%s\n' "$answer" | tr '{' '\n' | grep '"nevra":' | while read -r package; do
    license=$(printf '%s\n' "$package" | text license)
    nevra=$(printf '%s\n' "$package" | text nevra)
    if printf '%s\n' "$license" | grep -E -q -e "$forbidden"; then
        printf '{"finding":{"severity":"error","code":"forbidden-licence","subject":"%s","message":"is under %s"}}\n' \
            "$nevra" "$license"
    fi
done
printf '{"done":true}\n'
