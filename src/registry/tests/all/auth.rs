//! Proving who we are.

use std::sync::{Arc, Mutex};

use http::Url;
use stratum_registry::{Credentials, Mounted, Registries, RegistryError};

use crate::server::{Answer, Seen, Server, serve};
use crate::{anonymous, image, is_refused_with_credentials, manifest, quick, with};

/// "user:pass" as the Basic scheme has it.
const BASIC: &str = "Basic dXNlcjpwYXNz";

/// A registry whose requests need the token `good`, and its token server, which runs `tokens`.
fn registry(tokens: impl FnMut(&Seen) -> Answer + Send + 'static) -> (Server, Server) {
    let tokens = serve(tokens);
    let challenge = format!(r#"Bearer realm="{}",service="test",scope="repository:a:pull""#, tokens.url("/token"));
    let registry = serve(move |request| match (request.header("authorization"), request.method.as_str()) {
        (Some("Bearer good"), "POST") => Answer::new(201, ""),
        (Some("Bearer good"), _) => Answer::new(200, manifest()),
        (Some(_), _) => {
            Answer::new(401, "").header("WWW-Authenticate", format!("{challenge},error=\"insufficient_scope\""))
        }
        (None, _) => Answer::new(401, "").header("WWW-Authenticate", &challenge),
    });
    (registry, tokens)
}

fn good(_: &Seen) -> Answer {
    Answer::new(200, r#"{"token":"good","expires_in":300}"#)
}

fn query(request: &Seen, name: &str) -> Vec<String> {
    let url = Url::parse(&format!("http://x{}", request.target)).unwrap();
    url.query_pairs().filter(|(key, _)| key == name).map(|(_, value)| value.into_owned()).collect()
}

#[test]
fn a_token_is_got_once_and_used_again() {
    let (registry, tokens) = registry(good);
    let (registries, name) = (with("user:pass"), image(registry.address, "a:1"));
    for _ in 0..3 {
        registries.resolve(&name).unwrap();
    }
    let asked = tokens.seen();
    assert_eq!((asked.len(), registry.seen().len()), (1, 4));
    assert_eq!(asked[0].header("authorization"), Some(BASIC));
    assert_eq!(query(&asked[0], "service"), ["test"]);
    assert_eq!(query(&asked[0], "scope"), ["repository:a:pull"]);
    assert!(registry.seen().iter().all(|request| request.header("authorization") != Some(BASIC)));
}

#[test]
fn threads_with_one_wish_get_one_token() {
    let (registry, tokens) = registry(good);
    let (registries, name) = (anonymous(), image(registry.address, "a:1"));
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| registries.resolve(&name).unwrap());
        }
    });
    assert_eq!(tokens.seen().len(), 1);
    assert_eq!(tokens.seen()[0].header("authorization"), None);
}

#[test]
fn a_token_that_is_refused_later_is_replaced() {
    let mut tokens_given = vec!["good", "bad", "good"].into_iter();
    let (registry, tokens) =
        registry(move |_| Answer::new(200, format!(r#"{{"access_token":"{}"}}"#, tokens_given.next().unwrap())));
    let name = image(registry.address, "a:1");
    let registries = anonymous();
    registries.resolve(&name).unwrap();
    // Another scope set: its first token does not work, and is not kept.
    let other = image(registry.address, "b:1");
    assert!(matches!(registries.resolve(&other), Ok(_) | Err(RegistryError::Unauthorized { .. })));
    registries.resolve(&other).unwrap();
    assert_eq!(tokens.seen().len(), 3);
}

#[test]
fn a_mount_asks_for_both_repositories_in_one_token() {
    let (registry, tokens) = registry(good);
    let (to, from) = (image(registry.address, "to:1"), image(registry.address, "from:1"));
    let mounted = anonymous().mount(&to, &from, &oci::Digest::of(b"x")).unwrap();
    assert!(matches!(mounted, Mounted::Yes));
    let expected = ["repository:a:pull", "repository:from:pull", "repository:to:pull,push"];
    assert_eq!(query(&tokens.seen()[0], "scope"), expected);
}

#[test]
fn a_token_to_push_is_also_used_to_pull() {
    let (registry, tokens) = registry(good);
    let (registries, name) = (anonymous(), image(registry.address, "a:1"));
    registries.put_manifest(&name, "application/json", b"{}").unwrap();
    registries.resolve(&name).unwrap();
    registries.resolve(&image(registry.address, "ab:1")).unwrap();
    let scopes: Vec<_> = tokens.seen().iter().map(|request| query(request, "scope").join(" ")).collect();
    assert_eq!(scopes, ["repository:a:pull repository:a:pull,push", "repository:ab:pull"]);
}

#[test]
fn an_identity_token_is_posted_and_stays_out_of_the_url() {
    let (registry, tokens) = registry(good);
    let file = format!(r#"{{"auths":{{"{}":{{"identitytoken":"s3cret"}}}}}}"#, registry.address);
    let credentials = Credentials::parse("f", file.as_bytes()).unwrap();
    let registries = Registries::new(quick(credentials)).unwrap();
    registries.resolve(&image(registry.address, "a:1")).unwrap();
    let asked = &tokens.seen()[0];
    assert_eq!(asked.line(), "POST /token");
    let form =
        "grant_type=refresh_token&client_id=stratum&scope=repository%3Aa%3Apull&service=test&refresh_token=s3cret";
    assert_eq!(String::from_utf8(asked.body.clone()).unwrap(), form);
}

#[test]
fn who_is_refused_is_told_whether_credentials_were_sent() {
    let (registry, _tokens) = registry(|_| Answer::new(401, ""));
    let name = image(registry.address, "a:1");
    assert!(!is_refused_with_credentials(&anonymous(), &name));
    assert!(is_refused_with_credentials(&with("user:pass"), &name));
}

#[test]
fn an_account_without_the_right_is_denied() {
    let (registry, _tokens) = registry(|_| Answer::new(200, r#"{"token":"weak"}"#));
    let name = image(registry.address, "a:1");
    let error = with("user:pass").open_upload(&name).unwrap_err();
    assert!(matches!(error, RegistryError::Denied { .. }), "{error:?}");
    let error = anonymous().open_upload(&name).unwrap_err();
    assert!(matches!(error, RegistryError::Unauthorized { had_credentials: false, .. }), "{error:?}");
}

#[test]
fn a_token_server_that_talks_nonsense_is_an_error() {
    for body in ["", "<html>", "{}", r#"{"token":""}"#, r#"{"token":"a\nb"}"#] {
        let (registry, _tokens) = registry(move |_| Answer::new(200, body));
        let error = anonymous().resolve(&image(registry.address, "a:1")).unwrap_err();
        let is_right = matches!(error, RegistryError::BadAnswer { .. } | RegistryError::Unreachable { .. });
        assert!(is_right, "{error:?}");
    }
}

#[test]
fn a_helper_is_named_only_when_the_registry_asks() {
    let asks = Arc::new(Mutex::new(false));
    let asked = Arc::clone(&asks);
    let server = serve(move |_| match *asked.lock().unwrap() {
        true => Answer::new(401, "").header("WWW-Authenticate", "Basic realm=x"),
        false => Answer::new(200, manifest()),
    });
    let file = format!(r#"{{"credHelpers":{{"{}":"pass"}}}}"#, server.address);
    let registries = Registries::new(quick(Credentials::parse("f", file.as_bytes()).unwrap())).unwrap();
    let name = image(server.address, "a:1");
    registries.resolve(&name).unwrap();
    *asks.lock().unwrap() = true;
    let error = registries.resolve(&name).unwrap_err();
    assert!(matches!(error, RegistryError::Credentials { .. }), "{error:?}");
}

#[test]
fn a_challenge_nobody_knows_is_not_answered() {
    let server = serve(|_| Answer::new(401, "").header("WWW-Authenticate", "Negotiate"));
    let error = with("user:pass").resolve(&image(server.address, "a:1")).unwrap_err();
    assert!(matches!(error, RegistryError::Unauthorized { .. }), "{error:?}");
    assert_eq!(server.seen().len(), 1);
}
