//! The value of `--chmod`: octal, or symbolic in the grammar of chmod(1) as BSD has it and BuildKit takes it.
//!
//! There is no umask here: a clause that names nobody means everybody.

/// Permission bits of three classes, one after the other.
const ALL: u32 = 0o111;
/// Everything a clause without a class changes, but for the sticky bit.
const STANDARD: u32 = 0o6777;
const SET_ID: u32 = 0o6000;
const STICKY: u32 = 0o1000;

/// What becomes of permission bits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mode {
    actions: Vec<Action>,
}

/// One operator of one clause with what follows it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Action {
    operator: Operator,
    /// The bits it may change.
    who: u32,
    /// The bits it names.
    bits: u32,
    /// `X`: execute for directories and what somebody may execute already.
    executes: bool,
    /// Classes whose bits are taken, as shifts.
    copied: Vec<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    Add,
    Remove,
    Set,
}

/// The text is no mode.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no mode: write an octal one such as 0755, or a symbolic one such as u=rwX,go=rX")]
pub(crate) struct BadMode {
    text: String,
}

impl Mode {
    /// These bits and no others.
    pub(crate) fn octal(bits: u32) -> Self {
        let who = STANDARD | STICKY;
        Self { actions: vec![Action { operator: Operator::Set, who, bits, executes: false, copied: Vec::new() }] }
    }

    pub(crate) fn parse(text: &str) -> Result<Self, BadMode> {
        let bad = || BadMode { text: text.to_owned() };
        if text.starts_with(|c: char| c.is_ascii_digit()) {
            let octal = u32::from_str_radix(text, 8).ok().filter(|bits| *bits <= 0o7777);
            return octal.map(Self::octal).ok_or_else(bad);
        }
        let mut actions = Vec::new();
        for clause in text.split(',') {
            actions.extend(parse_clause(clause).ok_or_else(bad)?);
        }
        Ok(Self { actions })
    }

    /// What `mode` becomes.
    pub(crate) fn apply(&self, mode: u32, is_directory: bool) -> u32 {
        let is_executable = is_directory || mode & ALL != 0;
        self.actions.iter().fold(mode, |now, action| {
            let executes = if action.executes && is_executable { ALL } else { 0 };
            let copied = action.copied.iter().fold(0, |bits, shift| bits | (((now >> shift) & 7) * ALL));
            let bits = (action.bits | executes | copied) & action.who;
            match action.operator {
                Operator::Add => now | bits,
                Operator::Remove => now & !bits,
                Operator::Set => now & !action.who | bits,
            }
        })
    }
}

fn parse_clause(clause: &str) -> Option<Vec<Action>> {
    let start = clause.find(['+', '-', '='])?;
    let (classes, mut rest) = clause.split_at_checked(start)?;
    let mut who = 0;
    for class in classes.chars() {
        who |= match class {
            'a' => STANDARD,
            'u' => 0o4700,
            'g' => 0o2070,
            'o' => 0o0007,
            _ => return None,
        };
    }
    let mut actions = Vec::new();
    while let Some(operator) = rest.chars().next() {
        let after = rest.get(1..)?;
        let end = after.find(['+', '-', '=']).unwrap_or(after.len());
        let (permissions, next) = after.split_at_checked(end)?;
        actions.push(parse_action(operator, who, permissions)?);
        rest = next;
    }
    Some(actions)
}

fn parse_action(operator: char, classes: u32, permissions: &str) -> Option<Action> {
    let operator = match operator {
        '+' => Operator::Add,
        '-' => Operator::Remove,
        _ => Operator::Set,
    };
    let who = if classes == 0 { STANDARD } else { classes };
    let mut action = Action { operator, who, bits: 0, executes: false, copied: Vec::new() };
    // Others have neither set-id nor sticky bits.
    let is_special = classes == 0 || classes & !7 != 0;
    for permission in permissions.chars() {
        match permission {
            'r' => action.bits |= 4 * ALL,
            'w' => action.bits |= 2 * ALL,
            'x' => action.bits |= ALL,
            'X' if operator == Operator::Remove => action.bits |= ALL,
            'X' => action.executes = true,
            's' if is_special => action.bits |= SET_ID,
            't' if is_special => {
                action.bits |= STICKY;
                action.who |= STICKY;
            }
            's' | 't' => {}
            'u' => action.copied.push(6),
            'g' => action.copied.push(3),
            'o' => action.copied.push(0),
            _ => return None,
        }
    }
    Some(action)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, mode: u32, expected: u32) {
        let changed = Mode::parse(text).unwrap().apply(mode, false);
        assert_eq!(changed, expected, "{text} of {mode:o} gave {changed:o}, not {expected:o}");
    }

    #[test]
    fn an_octal_mode_replaces_everything() {
        check("0755", 0o644, 0o755);
        check("4711", 0o644, 0o4711);
        check("0", 0o7777, 0);
    }

    #[test]
    fn classes_and_operators_are_those_of_chmod() {
        check("u+x", 0o644, 0o744);
        check("+x", 0o644, 0o755);
        check("a+x", 0o644, 0o755);
        check("go-r", 0o644, 0o600);
        check("ug=rw,o=", 0o777, 0o660);
        check("u=rwx,g=rx,o=r", 0, 0o754);
        check("u+x-w", 0o644, 0o544);
        check("a=rw,a+X", 0o644, 0o666);
        check("=", 0o1777, 0o1000);
    }

    #[test]
    fn a_capital_x_is_for_directories_and_what_is_executable() {
        check("u=rwX,go=rX", 0o640, 0o644);
        check("u=rwX,go=rX", 0o700, 0o755);
        check("a-X", 0o755, 0o644);
        assert_eq!(Mode::parse("u=rwX,go=rX").unwrap().apply(0o700, true), 0o755);
        assert_eq!(Mode::parse("u=rwX,go=rX").unwrap().apply(0o600, true), 0o755);
        // What was executable at the beginning counts.
        check("a-x,a+X", 0o755, 0o755);
    }

    #[test]
    fn classes_can_be_copied() {
        check("g=u", 0o640, 0o660);
        check("go=u", 0o740, 0o777);
        check("o+g", 0o650, 0o655);
        check("g-o", 0o675, 0o625);
        check("u=u", 0o640, 0o640);
    }

    #[test]
    fn special_bits_belong_to_their_classes() {
        check("u+s", 0o755, 0o4755);
        check("g+s", 0o755, 0o2755);
        check("+s", 0o755, 0o6755);
        check("o+s", 0o755, 0o755);
        check("+t", 0o777, 0o1777);
        check("o+t", 0o777, 0o777);
        check("u=rwx", 0o4644, 0o744);
    }

    #[test]
    fn what_is_no_mode_is_refused() {
        for text in ["", "u", "rwx", "u+q", "789", "10000", "+755,", ",u+x", "z+x", "0x1ff", "u+x,", "755 ", "-", "u++"]
        {
            let parsed = Mode::parse(text);
            let is_allowed = matches!(text, "-" | "u++");
            assert_eq!(parsed.is_ok(), is_allowed, "{text}: {parsed:?}");
        }
    }
}
