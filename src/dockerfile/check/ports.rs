//! The ports of EXPOSE: `[[address:]host:]port[-port][/protocol]`, of which only port and protocol should be there.

use super::{Checker, Found, Rule};
use crate::instruction::Instruction;
use crate::span::Word;

/// Checks one port, already expanded.
pub(super) fn check(checker: &mut Checker<'_>, instruction: &Instruction, port: &str, word: &Word) {
    // Values of arguments may be secret, so the word is shown as it is written.
    let (span, shown) = (word.span, &word.raw);
    let (host, container) = port.rsplit_once(':').unwrap_or(("", port));
    let (number, protocol) = container.split_once('/').unwrap_or((container, ""));
    if number.is_empty() || !matches!(protocol.to_lowercase().as_str(), "" | "tcp" | "udp" | "sctp") {
        // The build refuses it.
        return;
    }
    let lower = protocol.to_lowercase();
    if lower != protocol {
        let message = format!("the protocol of {shown} is not lower case");
        let found = Found { span, message, help: format!("write {lower}") };
        checker.add(Rule::ExposeProtoCasing, instruction, found);
    }
    if host.chars().any(|c| c != ':') {
        let message = format!("{shown} has an address or a host port, which EXPOSE cannot set");
        let found =
            Found { span, message, help: "name the port alone, and publish it where the image is run".to_owned() };
        checker.add(Rule::ExposeInvalidFormat, instruction, found);
    }
}
