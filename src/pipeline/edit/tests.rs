//! Tests of edits: what they change, and that they change nothing else.

use super::*;

#[track_caller]
fn check(text: &str, edits: Vec<Edit>, expected: &str) {
    let file = dockerfile::parse(text).unwrap();
    let target = dockerfile::stages(&file).unwrap().stages.len() - 1;
    let edits: Vec<Reasoned> = edits.into_iter().map(|edit| Reasoned { edit, reason: String::new() }).collect();
    assert_eq!(apply(&file, target, &edits).unwrap(), expected);
}

fn label(name: &str, value: &str) -> Edit {
    Edit::Labels(vec![(name.to_owned(), value.to_owned())])
}

#[test]
fn labels_stand_after_the_last_instruction() {
    check("FROM a\nRUN x\n", vec![label("a", "b")], "FROM a\nRUN x\nLABEL \"a\"=\"b\"\n");
    check("FROM a\nRUN x \\\n  y", vec![label("a", "b")], "FROM a\nRUN x \\\n  y\nLABEL \"a\"=\"b\"\n");
    check("FROM a\r\nRUN x\r\n", vec![label("a", "b")], "FROM a\r\nRUN x\r\nLABEL \"a\"=\"b\"\r\n");
    let heredoc = "FROM a\nRUN <<E\nLABEL no\nE\n# end\n";
    check(heredoc, vec![label("a", "b")], "FROM a\nRUN <<E\nLABEL no\nE\nLABEL \"a\"=\"b\"\n# end\n");
}

#[test]
fn values_are_read_back_as_they_are() {
    check("FROM a\n", vec![label("a", "say \"$x\" \\ é")], "FROM a\nLABEL \"a\"=\"say \\\"\\$x\\\" \\\\ é\"\n");
}

#[test]
fn arguments_stand_behind_every_from() {
    let names = || Edit::Arguments(vec!["A".to_owned(), "B".to_owned()]);
    check("FROM a AS s\nRUN x\nFROM b", vec![names()], "FROM a AS s\nARG A\nARG B\nRUN x\nFROM b\nARG A\nARG B\n");
    check("FROM \\\r\n a\r\n", vec![names()], "FROM \\\r\n a\r\nARG A\r\nARG B\r\n");
    let from = Edit::From { stage: 0, image: "b@sha256:1".to_owned() };
    let expected = "FROM b@sha256:1 # c\nARG A\nARG B\nLABEL \"a\"=\"b\"\n".replace(" # c", "");
    check(
        "FROM a\n",
        vec![label("a", "b"), names(), from],
        &expected.replace("ARG A\nARG B\nLABEL \"a\"=\"b\"\n", "LABEL \"a\"=\"b\"\nARG A\nARG B\n"),
    );
}

#[test]
fn nothing_is_added_where_the_last_line_goes_on() {
    let reasoned = |edit| vec![Reasoned { edit, reason: String::new() }];
    let file = dockerfile::parse("FROM a\nRUN x \\\n").unwrap();
    assert_eq!(rewrite(&file, 0, &reasoned(label("a", "b"))), Err(RewriteError::Swallowed));
    assert_eq!(rewrite(&file, 0, &[]), Ok(None));
    assert!(rewrite(&file, 0, &reasoned(Edit::Arguments(vec!["A".to_owned()]))).unwrap().is_some());
}

#[test]
fn from_changes_only_the_image() {
    let from = Edit::From { stage: 0, image: "b@sha256:1".to_owned() };
    check("# c\nFROM --platform=x a  AS n\nRUN y\n", vec![from], "# c\nFROM --platform=x b@sha256:1  AS n\nRUN y\n");
}

/// The Dockerfiles of `testdata/dockerfile` that have stages.
fn every() -> Vec<Dockerfile> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/dockerfile");
    let texts = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path().join("in.Dockerfile"));
    let files = texts.filter_map(|path| dockerfile::parse(&std::fs::read_to_string(path).ok()?).ok());
    let files: Vec<Dockerfile> = files.filter(|file| dockerfile::stages(file).is_ok()).collect();
    assert!(files.len() > 50, "{}", files.len());
    files
}

fn one(edit: Edit) -> Vec<Reasoned> {
    vec![Reasoned { edit, reason: String::new() }]
}

#[test]
fn no_edit_changes_no_byte() {
    for file in every() {
        assert_eq!(rewrite(&file, 0, &[]).unwrap(), None);
        assert_eq!(rewrite(&file, 0, &one(Edit::Labels(Vec::new()))).unwrap(), None);
    }
}

#[test]
fn another_base_changes_its_bytes_and_no_other() {
    for file in every() {
        for stage in &dockerfile::stages(&file).unwrap().stages {
            let image = "r.example/other@sha256:01".to_owned();
            let from = Edit::From { stage: stage.index, image: image.clone() };
            let made = rewrite(&file, 0, &one(from)).unwrap().unwrap();
            let (start, end) = (stage.base.span.start, stage.base.span.end);
            let expected = format!("{}{image}{}", file.text.get(..start).unwrap(), file.text.get(end..).unwrap());
            assert_eq!(made.text, expected);
            assert_eq!(dockerfile::stages(&made).unwrap().stages[stage.index].base.raw, image);
        }
    }
}

#[test]
fn labels_are_added_as_one_piece_and_read_back() {
    let value = "say \"$x\" `\\ é";
    for file in every() {
        let target = dockerfile::stages(&file).unwrap().stages.len() - 1;
        let made = match rewrite(&file, target, &one(label("a b", value))) {
            Ok(made) => made.unwrap(),
            Err(error) => {
                let is_open = file.text.trim_end().ends_with(file.escape().as_char());
                assert_eq!((error, is_open), (RewriteError::Swallowed, true), "{:?}", file.text);
                continue;
            }
        };
        let (before, after) = made.text.split_once("LABEL \"a b\"").unwrap();
        let ending = if file.text.contains("\r\n") { "\r\n" } else { "\n" };
        let kept = format!("{before}{}", after.split_once('\n').unwrap().1);
        assert!(kept == file.text || kept == format!("{}{ending}", file.text), "{:?}", made.text);
        let stages = dockerfile::stages(&made).unwrap().stages;
        let dockerfile::Kind::Label(pairs) = &stages[target].instructions.last().unwrap().kind else { panic!() };
        let read = |word: &dockerfile::Word| dockerfile::expand::word(&word.raw, made.escape(), &|_| None).unwrap();
        assert_eq!((read(&pairs[0].key).as_str(), read(&pairs[0].value).as_str()), ("a b", value));
    }
}

#[test]
fn declared_arguments_are_the_first_instructions_of_every_stage() {
    for file in every() {
        let Ok(made) = rewrite(&file, 0, &one(Edit::Arguments(vec!["A".to_owned()]))) else { continue };
        let made = made.unwrap();
        for stage in dockerfile::stages(&made).unwrap().stages {
            assert_eq!(stage.instructions[0].line, "ARG A");
        }
        let added = if file.text.contains("\r\n") { "ARG A\r\n" } else { "ARG A\n" };
        assert_eq!(made.text.replace(added, "").trim_end(), file.text.trim_end());
    }
}

#[test]
fn a_variable_stands_behind_every_from() {
    let env = |value: &str| Edit::Environment { name: "REL".to_owned(), value: value.to_owned() };
    check(
        "FROM a AS s\nRUN x\nFROM b",
        vec![env("3.fc40")],
        "FROM a AS s\nENV REL=3.fc40\nRUN x\nFROM b\nENV REL=3.fc40\n",
    );
    check("FROM a\n", vec![env("a $b")], "FROM a\nENV REL=\"a \\$b\"\n");
}

#[test]
fn an_instruction_stands_behind_the_from_of_its_stage() {
    let add = Edit::Instruction { stage: 1, line: "ADD f.tar /".to_owned() };
    check("FROM a AS s\nRUN x\nFROM b\nRUN y\n", vec![add.clone()], "FROM a AS s\nRUN x\nFROM b\nADD f.tar /\nRUN y\n");
    let file = dockerfile::parse("FROM a\n").unwrap();
    assert!(rewrite(&file, 0, &[Reasoned { edit: add, reason: String::new() }]).is_err());
}

#[test]
fn one_label_is_replaced_where_it_stands_or_added() {
    let release = |value: &str| vec![Edit::Label { name: "release".to_owned(), value: value.to_owned() }];
    check("FROM a\nRUN x\n", release("5"), "FROM a\nRUN x\nLABEL release=5\n");
    let (before, after) =
        ("FROM a\nLABEL a=b \"release\"=\"7\" c=d\nRUN x\n", "FROM a\nLABEL a=b \"release\"=7.2 c=d\nRUN x\n");
    check(before, release("7.2"), after);
    check("FROM a\nLABEL release=1\nFROM b\n", release("2"), "FROM a\nLABEL release=1\nFROM b\nLABEL release=2\n");
    check("FROM a\nLABEL release 1\n", release("2"), "FROM a\nLABEL release 1\nLABEL release=2\n");
    check("FROM a\n", release("a b"), "FROM a\nLABEL release=\"a b\"\n");
    let file = dockerfile::parse("FROM a\nLABEL release=1\n").unwrap();
    let edits = [Reasoned { edit: release("2").remove(0), reason: String::new() }];
    assert!(rewrite(&file, 0, &edits).unwrap().is_some());
}
