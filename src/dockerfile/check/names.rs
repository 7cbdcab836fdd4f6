//! How instructions and stages are called, and the comments that describe them.

use super::{Checker, Found, Rule};
use crate::instruction::{Instruction, Kind};
use crate::span::{Span, Word};
use crate::stages::Stages;

/// Names that BuildKit gives a meaning of their own.
const RESERVED: [&str; 2] = ["context", "scratch"];

/// A case that a word can be in as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Case {
    Upper,
    Lower,
}

impl Case {
    /// The case of `word`; none where it is mixed.
    fn of(word: &str) -> Option<Self> {
        match (word == word.to_lowercase(), word == word.to_uppercase()) {
            (true, _) => Some(Self::Lower),
            (false, true) => Some(Self::Upper),
            (false, false) => None,
        }
    }

    fn apply(self, word: &str) -> String {
        match self {
            Self::Upper => word.to_uppercase(),
            Self::Lower => word.to_lowercase(),
        }
    }
}

/// All instructions from the first FROM on have the case of most of them; upper case where it is a draw.
pub(super) fn casing(checker: &mut Checker<'_>) {
    let file = checker.file;
    let is_from = |instruction: &&Instruction| matches!(instruction.kind, Kind::From { .. });
    let counted = || file.instructions.iter().skip_while(|instruction| !is_from(instruction));
    let count = |case| counted().filter(|instruction| Case::of(&instruction.word.raw) == Some(case)).count();
    let majority = if count(Case::Lower) > count(Case::Upper) { Case::Lower } else { Case::Upper };
    for instruction in counted() {
        let word = &instruction.word;
        let wanted = majority.apply(&word.raw);
        if word.raw != wanted {
            let message = format!("`{}` has another case than most instructions here", word.raw);
            let found = Found { span: word.span, message, help: format!("write `{wanted}`") };
            checker.add(Rule::ConsistentInstructionCasing, instruction, found);
        }
    }
}

/// The names of stages.
pub(super) fn stages(checker: &mut Checker<'_>, stages: &Stages<'_>) {
    let duplicates = stages.duplicates();
    for stage in &stages.stages {
        let Kind::From { name: Some(name), image, .. } = &stage.from.kind else { continue };
        let lower = name.raw.to_lowercase();
        let add = |checker: &mut Checker<'_>, rule, message: String, help: String| {
            checker.add(rule, stage.from, Found { span: name.span, message, help });
        };
        if lower != name.raw {
            let message = format!("stage name `{}` is not lower case", name.raw);
            add(checker, Rule::StageNameCasing, message, format!("write `{lower}`"));
        }
        if RESERVED.contains(&lower.as_str()) {
            let message = format!("stage name `{lower}` is reserved");
            add(checker, Rule::ReservedStageName, message, "choose another name".to_owned());
        }
        if duplicates.contains(&stage.index) {
            let message = format!("an earlier stage is called `{lower}` too");
            let help = "give each stage its own name; later instructions mean the last one".to_owned();
            add(checker, Rule::DuplicateStageName, message, help);
        }
        as_casing(checker, stage.from, image, name);
    }
}

/// AS has the case of FROM, where that has one.
fn as_casing(checker: &mut Checker<'_>, from: &Instruction, image: &Word, name: &Word) {
    let Some(case) = Case::of(&from.word.raw) else { return };
    // The joined line ends in `AS name`.
    let Some(word) = from.line.split_whitespace().nth_back(1) else { return };
    let wanted = case.apply(word);
    if word == wanted {
        return;
    }
    let message = format!("`{word}` has another case than `{}`", from.word.raw);
    let between = Span::new(image.span.end, name.span.start);
    let span = find(&checker.file.text, between, word).unwrap_or(name.span);
    checker.add(Rule::FromAsCasing, from, Found { span, message, help: format!("write `{wanted}`") });
}

/// Where `word` last stands within `span`.
pub(super) fn find(text: &str, span: Span, word: &str) -> Option<Span> {
    let at = span.start + span.of(text).rfind(word)?;
    Some(Span::new(at, at + word.len()))
}

/// The comment right above an ARG or a named FROM describes what is named there.
#[expect(clippy::wildcard_enum_match_arm, reason = "a rule about these instructions only")]
pub(super) fn description(checker: &mut Checker<'_>, instruction: &Instruction) {
    let names: Vec<&str> = match &instruction.kind {
        Kind::Arg(declarations) => declarations.iter().map(|declaration| declaration.name.raw.as_str()).collect(),
        Kind::From { name: Some(name), .. } => vec![&name.raw],
        _ => return,
    };
    let text = &checker.file.text;
    let Some(comment) = instruction.comments.last().copied() else { return };
    let between = Span::new(comment.end, instruction.word.span.start).of(text);
    let is_right_above = between.bytes().filter(|&byte| byte == b'\n').count() == 1;
    let first = comment.of(text).split(' ').next().unwrap_or_default();
    let is_name =
        |name: &&&str| **name == first || instruction.keyword == crate::Keyword::From && name.to_lowercase() == first;
    if !is_right_above || names.iter().any(|name| is_name(&name)) {
        return;
    }
    let wanted = match names.as_slice() {
        [name] => (*name).to_owned(),
        _ => format!("one of {}", names.join(", ")),
    };
    let message = format!("this comment does not begin with {wanted}, which it would describe");
    let help = "begin it with the name, or put a blank line below it if it describes something else".to_owned();
    checker.add(Rule::InvalidDefinitionDescription, instruction, Found { span: comment, message, help });
}
