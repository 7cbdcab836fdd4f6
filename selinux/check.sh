#!/bin/bash
# Compiles the module, links it with the distribution's base policy, expands the result (which enforces neverallow
# rules) and asks it the questions of assertions.txt. Needs no SELinux kernel and no root.
# Debian: selinux-policy-dev selinux-policy-default checkpolicy semodule-utils setools
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
devel=/usr/share/selinux/devel/Makefile
modules=/usr/share/selinux/default
for tool in checkmodule semodule_link semodule_expand sesearch m4 make bzcat; do
  command -v $tool >/dev/null || { echo "skipped: $tool is not installed, so the SELinux module is not checked"; exit 0; }
done
for file in $devel $modules/base.pp.bz2 $modules/unconfined.pp.bz2; do
  [ -e $file ] || { echo "skipped: $file is not installed, so the SELinux module is not checked"; exit 0; }
done
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
bzcat $modules/base.pp.bz2 >"$work/base.pp"
bzcat $modules/unconfined.pp.bz2 >"$work/unconfined.pp"

expand() { # NAME: compiles, links and expands the module in $work/NAME to $work/NAME/policy; fails with 1 in the last step
  local dir=$work/$1
  cp stratum.fc stratum.if "$dir"
  (cd "$dir" && make -s -f $devel stratum.pp) >"$work/log" 2>&1 || return 2
  semodule_link -o "$dir/linked" "$work/base.pp" "$work/unconfined.pp" "$dir/stratum.pp" >"$work/log" 2>&1 || return 2
  semodule_expand -c 33 "$dir/linked" "$dir/policy" >"$work/log" 2>&1
}
bites() { # RULE: true where adding it is refused, and refused for a neverallow
  rm -rf "$work/bad"
  mkdir "$work/bad"
  { cat stratum.te; echo 'require { type unconfined_t; }'; echo "$1"; } >"$work/bad/stratum.te"
  local status=0
  expand bad || status=$?
  [ $status = 1 ] && grep -q neverallow "$work/log"
}

mkdir "$work/good"
cp stratum.te "$work/good"
expand good || { cat "$work/log"; echo "not ok: the module does not compile, link and expand"; exit 1; }

passed=0 failed=0
while read -r kind rest; do
  case $kind in
    '' | '#'*) continue ;;
    yes) [ -n "$(eval "sesearch $rest '$work/good/policy'")" ] && good=1 || good=0 ;;
    no) found=$(eval "sesearch $rest '$work/good/policy'") && [ -z "$found" ] && good=1 || good=0 ;;
    bite) bites "$rest" && good=1 || good=0 ;;
    *) good=0 ;;
  esac
  if [ $good = 1 ]; then passed=$((passed + 1)); else failed=$((failed + 1)); echo "not ok: $kind $rest"; fi
done <assertions.txt
echo "selinux: $passed assertions hold, $failed do not"
[ $failed = 0 ] && [ $passed -gt 0 ]
