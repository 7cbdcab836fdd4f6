//! Tests of mount options.

use super::*;

fn resolve(value: &str) -> Result<MountSpec, MountError> {
    let lookup = |name: &str| (name == "X").then(|| "x".to_owned());
    Mount::parse(value, Span::default()).unwrap().resolve(Escape::Backslash, &lookup)
}

#[track_caller]
fn check(value: &str, expected: MountSpec) {
    assert_eq!(resolve(value), Ok(expected), "{value}");
}

#[track_caller]
fn check_error(value: &str, expected: &str) {
    assert_eq!(resolve(value).unwrap_err().to_string(), expected, "{value}");
}

fn some(text: &str) -> Option<String> {
    Some(text.to_owned())
}

#[test]
fn a_mount_without_type_is_a_read_only_bind() {
    let expected = MountSpec { target: some("/a"), read_only: true, ..MountSpec::default() };
    check("target=/a", expected.clone());
    check("type=bind,dst=/a", expected.clone());
    check("Type=BIND,destination=/a,ro", expected);
}

#[test]
fn each_type_has_its_options() {
    check(
        "source=s,from=base,target=/$X,rw,z",
        MountSpec {
            source: some("s"),
            from: some("base"),
            target: some("/x"),
            relabel: Some(Relabel::Shared),
            ..MountSpec::default()
        },
    );
    check(
        "type=cache,target=/c,sharing=locked,id=i,mode=0755,uid=1,gid=2",
        MountSpec {
            kind: MountKind::Cache,
            target: some("/c"),
            sharing: Some(Sharing::Locked),
            id: some("i"),
            mode: Some(0o755),
            uid: Some(1),
            gid: Some(2),
            ..MountSpec::default()
        },
    );
    check(
        "type=tmpfs,target=/t,size=1.5k,tmpcopyup",
        MountSpec {
            kind: MountKind::Tmpfs,
            target: some("/t"),
            size: Some(1536),
            copy_up: true,
            ..MountSpec::default()
        },
    );
    check(
        "type=secret,id=s,env=,required",
        MountSpec {
            kind: MountKind::Secret,
            id: some("s"),
            env: some(""),
            required: true,
            read_only: true,
            ..MountSpec::default()
        },
    );
    check(
        "type=ssh,required=false,readwrite=0",
        MountSpec { kind: MountKind::Ssh, read_only: true, ..MountSpec::default() },
    );
}

#[test]
fn an_empty_value_is_no_value() {
    check("from=,source=,target=/a", MountSpec { target: some("/a"), read_only: true, ..MountSpec::default() });
    assert_eq!(Mount::parse("from=", Span::default()).unwrap().from(), None);
    assert_eq!(Mount::parse("FROM=a,from=b", Span::default()).unwrap().from(), Some("b"));
}

#[test]
fn what_is_not_known_is_refused_by_name() {
    check_error("type=bnd", "--mount type `bnd` does not exist, did you mean `bind`?");
    check_error("targt=/a", "--mount has no option `targt`, did you mean `target`?");
    check_error("bind-propagation=rshared", "--mount has no option `bind-propagation`");
    check_error("U", "--mount has no option `U`");
    check_error("target", "--mount option `target` needs a value");
    check_error("type=cache,sharing=all", "--mount option `sharing` cannot be `all`, only shared, private or locked");
    check_error("type=tmpfs,size=big", "--mount option `size` cannot be `big`, only a size such as 64m or 1GiB");
    check_error("type=cache,mode=9", "--mount option `mode` cannot be `9`, only an octal number");
    check_error("type=cache,uid=-1", "--mount option `uid` cannot be `-1`, only a number");
    check_error("ro=maybe", "--mount option `ro` cannot be `maybe`, only true or false");
    check_error("target=${Y?}", "--mount option `target`: Y: is not allowed to be unset");
}

#[test]
fn options_of_another_type_are_refused() {
    check_error("target=/a,mode=1", "--mount of type bind has no option `mode`");
    check_error("required,target=/a", "--mount of type bind has no option `required`");
    check_error("size=1,type=cache", "--mount of type cache has no option `size`");
    check_error("sharing=shared", "--mount of type bind has no option `sharing`");
    check_error("type=secret,id=a,from=b", "--mount of type secret has no option `from`");
    check_error("type=ssh,env=A", "--mount of type ssh has no option `env`");
    check_error("type=secret", "--mount of type secret needs an id, a source or a target");
    check_error("type=secret,id=a,src=b", "--mount of type secret has both an id and a source");
}

#[test]
fn sizes_have_binary_units() {
    for (text, bytes) in [("7", 7), ("7b", 7), ("2K", 2048), ("1MiB", 1 << 20), ("3gb", 3 << 30), ("0.5t", 1 << 39)] {
        assert_eq!(size(text), Some(bytes), "{text}");
    }
    for text in ["", "m", "1x", "-1", "1ib", "1..2m", "99999999999p", "1bb"] {
        assert_eq!(size(text), None, "{text}");
    }
}

#[test]
fn fields_may_be_quoted() {
    assert_eq!(csv(r#"a=1,"b=2,3","c=""q""","#).unwrap(), ["a=1", "b=2,3", "c=\"q\"", ""]);
    assert_eq!(csv("").unwrap(), Vec::<String>::new());
    for bad in [r#""a"#, r#"a"b"#, r#""a"b"#] {
        assert_eq!(csv(bad), None, "{bad}");
    }
}
