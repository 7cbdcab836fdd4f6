//! Whatever the text is, there is an answer: no panic, no hang, and spans that belong to the text.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use stratum_dockerfile::ignore::Patterns;
use stratum_dockerfile::{Escape, Span, apply, expand, parse, parse_tree, pin_from, position, stages};

/// The inputs of all cases in `testdata/dockerfile`.
fn inputs() -> Vec<String> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/dockerfile");
    let cases = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path().join("in.Dockerfile"));
    let mut texts: Vec<String> = cases.filter_map(|path| std::fs::read_to_string(path).ok()).collect();
    texts.sort();
    assert!(!texts.is_empty());
    texts
}

/// Reads `text` in every way and checks what must hold for any text.
fn check(text: &str) {
    if let Ok(tree) = parse_tree(text) {
        for node in &tree.nodes {
            for span in node.args.iter().map(|word| word.span).chain([node.span, node.word.span]) {
                check_span(text, span);
            }
        }
    }
    match parse(text) {
        Ok(file) => {
            if let Ok(stages) = stages(&file) {
                let pin = pin_from(&file, stages.stages.len() - 1, "r.example/x@sha256:0").unwrap();
                let pinned = parse(&apply(text, &[pin]).unwrap()).unwrap();
                assert_eq!(pinned.instructions.len(), file.instructions.len(), "{text:?}");
            }
        }
        Err(error) => {
            let diagnostic = error.diagnostic();
            check_span(text, diagnostic.span);
            position(text, diagnostic.span.start);
        }
    }
    for line in text.lines() {
        let lookup = |name: &str| name.len().is_multiple_of(2).then(|| name.repeat(2));
        if let (Ok(word), Ok(words)) =
            (expand::word(line, Escape::Backslash, &lookup), expand::words(line, Escape::Backslash, &lookup))
        {
            let letters = |text: &str| text.chars().filter(|c| !c.is_whitespace()).count();
            assert_eq!(letters(&word), letters(&words.concat()), "{line:?}");
        }
    }
    if let Ok(patterns) = Patterns::parse(text) {
        patterns.matches("a/b.c/d");
        patterns.could_match_below("a/b.c");
    }
}

/// Reads `text` once; whether it is accepted does not matter.
fn check_answer(text: &str) {
    if let Err(error) = parse(text) {
        check_span(text, error.span());
    }
}

#[track_caller]
fn check_span(text: &str, span: Span) {
    assert!(text.get(span.start..span.end).is_some(), "{span:?} is no piece of {text:?}");
}

#[test]
fn every_prefix_of_every_case_has_an_answer() {
    for text in inputs() {
        for end in (0..=text.len()).filter(|&end| text.is_char_boundary(end)) {
            check(text.get(..end).unwrap());
        }
    }
}

/// A small generator of numbers: the tests need variety, not chance.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % limit.max(1) as u64).unwrap()
    }
}

#[test]
fn every_mutation_of_every_case_has_an_answer() {
    let pieces = [
        "\\", "\n", "\r\n", "\"", "'", "$", "${", "}", "<<A", "\nA\n", "[", "]", "--", "=", "#", " ", "\t", "é",
        "ONBUILD ", "`",
    ];
    let mut numbers = Numbers(0x5eed);
    for text in inputs() {
        for _ in 0..60 {
            let mut chars: Vec<char> = text.chars().collect();
            for _ in 0..=numbers.below(4) {
                let at = numbers.below(chars.len() + 1);
                let end = (at + numbers.below(3)).min(chars.len());
                let piece = pieces[numbers.below(pieces.len())];
                chars.splice(at..end, piece.chars());
            }
            check(&chars.into_iter().collect::<String>());
        }
    }
}

#[test]
fn large_texts_take_linear_time() {
    let texts = [
        "FROM a\n".to_owned() + &"RUN x \\\n".repeat(100_000),
        "FROM a\nRUN ".to_owned() + &"x\\\n".repeat(250_000),
        "FROM a\nENV ".to_owned() + &"A=1 \\\n".repeat(150_000),
        "FROM a\nCOPY ".to_owned() + &"--exclude=x \\\n".repeat(100_000) + "a b\n",
        "FROM a\nCOPY ".to_owned() + &"<<A \\\n".repeat(100_000) + "/d\n" + &"A\n".repeat(100_000),
        "FROM a\nRUN ".to_owned() + &"\"\\\n".repeat(250_000),
        "FROM a\nRUN ".to_owned() + &"${A:-\\\n".repeat(150_000) + "<<A",
        "FROM a\nCMD ".to_owned() + &"[".repeat(250_000),
        "FROM a\nCMD [".to_owned() + &"\"a\",\\\n".repeat(125_000) + "\"a\"]",
        "#\n".repeat(500_000),
        "ONBUILD ".repeat(100_000),
        "FROM a\nRUN <<A\n".to_owned() + &"x\n".repeat(500_000),
    ];
    // A step that is quadratic in any of these would take hours.
    for text in &texts {
        check_answer(text);
    }
}

#[test]
fn what_is_too_large_is_refused() {
    let error = |text: &str| parse(text).unwrap_err().to_string();
    assert_eq!(error(&"#".repeat((4 << 20) + 1)), "the Dockerfile has 4194305 bytes, the limit is 4194304");
    assert_eq!(error(&format!("FROM a\nRUN {}\n", "x".repeat(1 << 20))), "line 2 is longer than 1048576 bytes");
    assert_eq!(error(&"FROM a\n".repeat((1 << 16) + 1)), "more than 65536 instructions");
}
