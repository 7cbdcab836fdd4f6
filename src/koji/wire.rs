//! XML-RPC as Koji speaks it, in memory: a call to text, an answer to a value.
//!
//! Comes in: a method with its parameters as JSON values; the bytes of an answer. Goes out: the body of a request; the
//! value or [`Fault`] of an answer. Texts, numbers, `<nil/>`, arrays and structs have their like in JSON; `base64` and
//! `dateTime.iso8601` stay texts, for the hub sends neither where we ask. Answers are foreign: how large they are is
//! the reader's matter, how deep they nest and how many values they have is bounded here. It resolves no entity but
//! those of XML itself and reads no document type.

use quick_xml::Reader;
use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::{BytesRef, Event};
use serde_json::{Map, Number, Value};

/// Values inside of each other, at most.
pub const MAX_DEPTH: usize = 64;
/// Values of one answer, at most.
pub const MAX_VALUES: usize = 1 << 20;
/// Characters of a fault's text that are kept.
const MAX_FAULT: usize = 300;

/// The hub says no.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Koji's number for the kind of refusal.
    pub code: i64,
    /// Its text on one line; of a traceback the last line.
    pub text: String,
}

/// An answer that is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// Not UTF-8.
    #[error("the answer is not UTF-8 text")]
    NotText,
    /// Not XML.
    #[error("the answer is not XML: {why}")]
    NotXml {
        /// Why.
        why: String,
    },
    /// XML, but not what XML-RPC has there.
    #[error("the answer is not XML-RPC: expected {expected}, found {found}")]
    Unexpected {
        /// What should be there.
        expected: &'static str,
        /// What is there.
        found: String,
    },
    /// More than is taken.
    #[error("the answer has more than {limit} {what}")]
    TooMuch {
        /// Of what.
        what: &'static str,
        /// The limit.
        limit: usize,
    },
}

/// The body of a request.
#[must_use]
pub fn call(method: &str, parameters: &[Value]) -> String {
    let mut text = String::from("<?xml version='1.0'?>\n<methodCall><methodName>");
    push_text(&mut text, method);
    text.push_str("</methodName><params>");
    for parameter in parameters {
        text.push_str("<param>");
        push(&mut text, parameter);
        text.push_str("</param>");
    }
    text.push_str("</params></methodCall>\n");
    text
}

fn push(text: &mut String, value: &Value) {
    text.push_str("<value>");
    match value {
        Value::Null => text.push_str("<nil/>"),
        Value::Bool(is) => text.push_str(if *is { "<boolean>1</boolean>" } else { "<boolean>0</boolean>" }),
        Value::Number(number) => text.push_str(&number_element(number)),
        Value::String(string) => {
            text.push_str("<string>");
            push_text(text, string);
            text.push_str("</string>");
        }
        Value::Array(items) => {
            text.push_str("<array><data>");
            items.iter().for_each(|item| push(text, item));
            text.push_str("</data></array>");
        }
        Value::Object(members) => {
            text.push_str("<struct>");
            for (name, member) in members {
                text.push_str("<member><name>");
                push_text(text, name);
                text.push_str("</name>");
                push(text, member);
                text.push_str("</member>");
            }
            text.push_str("</struct>");
        }
    }
    text.push_str("</value>");
}

/// 32 bits are an `int`; more needs the extension that the hub knows.
fn number_element(number: &Number) -> String {
    match number.as_i64() {
        Some(small) if i32::try_from(small).is_ok() => format!("<int>{small}</int>"),
        Some(large) => format!("<i8>{large}</i8>"),
        None => format!("<double>{number}</double>"),
    }
}

/// Characters that XML cannot carry become U+FFFD, or the hub would refuse the whole call.
fn push_text(text: &mut String, string: &str) {
    for character in string.chars() {
        match character {
            '<' => text.push_str("&lt;"),
            '>' => text.push_str("&gt;"),
            '&' => text.push_str("&amp;"),
            '\r' => text.push_str("&#13;"),
            '\t' | '\n' => text.push(character),
            '\u{FFFE}' | '\u{FFFF}' => text.push('\u{FFFD}'),
            control if control < ' ' => text.push('\u{FFFD}'),
            other => text.push(other),
        }
    }
}

/// Reads an answer.
///
/// # Errors
/// [`WireError`] for what is no answer; a fault is one.
pub fn answer(bytes: &[u8]) -> Result<Result<Value, Fault>, WireError> {
    let text = std::str::from_utf8(bytes).map_err(|_| WireError::NotText)?;
    let mut pieces = Pieces::of(text);
    pieces.open("methodResponse")?;
    match pieces.solid()? {
        Piece::Open(name) if name == "params" => {
            pieces.open("param")?;
            pieces.open("value")?;
            let value = pieces.value(0)?;
            pieces.close("</param>")?;
            pieces.close("</params>")?;
            pieces.close("</methodResponse>")?;
            Ok(Ok(value))
        }
        Piece::Open(name) if name == "fault" => {
            pieces.open("value")?;
            let value = pieces.value(0)?;
            Ok(Err(Fault::of(&value)))
        }
        other @ (Piece::Open(_) | Piece::Close | Piece::Text(_) | Piece::End) => {
            Err(other.instead_of("<params> or <fault>"))
        }
    }
}

impl Fault {
    fn of(value: &Value) -> Self {
        let code = value.get("faultCode").and_then(Value::as_i64).unwrap_or_default();
        let text = value.get("faultString").and_then(Value::as_str).unwrap_or("it says no more");
        Self { code, text: one_line(text) }
    }
}

/// A text on one line; of a Python traceback what it ends with.
pub(crate) fn one_line(text: &str) -> String {
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let is_traceback = text.contains("Traceback (most recent call last)");
    let text = if is_traceback {
        lines.next_back().unwrap_or_default().to_owned()
    } else {
        lines.collect::<Vec<_>>().join(" ")
    };
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MAX_FAULT).collect()
}

/// What an answer is made of, white space between elements aside.
enum Piece {
    Open(String),
    Close,
    Text(String),
    End,
}

impl Piece {
    fn instead_of(self, expected: &'static str) -> WireError {
        let found = match self {
            Self::Open(name) => format!("<{}>", name.chars().take(40).collect::<String>()),
            Self::Close => "the end of an element".to_owned(),
            Self::Text(text) => format!("{:?}", text.chars().take(40).collect::<String>()),
            Self::End => "the end of the answer".to_owned(),
        };
        WireError::Unexpected { expected, found }
    }
}

struct Pieces<'t> {
    reader: Reader<&'t [u8]>,
    values: usize,
}

impl<'t> Pieces<'t> {
    fn of(text: &'t str) -> Self {
        let mut reader = Reader::from_str(text);
        // <nil/> and <nil></nil> are then one thing.
        reader.config_mut().expand_empty_elements = true;
        Self { reader, values: 0 }
    }

    fn next(&mut self) -> Result<Piece, WireError> {
        let not_xml = |error: &dyn std::fmt::Display| WireError::NotXml { why: one_line(&error.to_string()) };
        loop {
            let event = self.reader.read_event().map_err(|error| not_xml(&error))?;
            return Ok(match event {
                Event::Start(start) => Piece::Open(start.name().into_inner().to_owned()),
                Event::End(_) => Piece::Close,
                Event::Text(text) => Piece::Text(text.xml10_content().into_owned()),
                Event::CData(text) => Piece::Text(text.xml10_content().into_owned()),
                Event::GeneralRef(reference) => Piece::Text(resolve(&reference)?),
                Event::DocType(_) => return Err(not_xml(&"a document type is not read")),
                Event::Eof => Piece::End,
                Event::Empty(_) | Event::Comment(_) | Event::Decl(_) | Event::PI(_) => continue,
            });
        }
    }

    /// The next piece that is not white space.
    fn solid(&mut self) -> Result<Piece, WireError> {
        loop {
            match self.next()? {
                Piece::Text(text) if text.trim().is_empty() => {}
                piece @ (Piece::Open(_) | Piece::Close | Piece::Text(_) | Piece::End) => return Ok(piece),
            }
        }
    }

    fn open(&mut self, name: &'static str) -> Result<(), WireError> {
        match self.solid()? {
            Piece::Open(found) if found == name => Ok(()),
            other @ (Piece::Open(_) | Piece::Close | Piece::Text(_) | Piece::End) => Err(other.instead_of(name)),
        }
    }

    fn close(&mut self, name: &'static str) -> Result<(), WireError> {
        match self.solid()? {
            Piece::Close => Ok(()),
            other @ (Piece::Open(_) | Piece::Text(_) | Piece::End) => Err(other.instead_of(name)),
        }
    }

    /// The value whose `<value>` has been read, up to and with its end.
    fn value(&mut self, depth: usize) -> Result<Value, WireError> {
        if depth >= MAX_DEPTH {
            return Err(WireError::TooMuch { what: "values inside of each other", limit: MAX_DEPTH });
        }
        self.values += 1;
        if self.values > MAX_VALUES {
            return Err(WireError::TooMuch { what: "values", limit: MAX_VALUES });
        }
        let mut text = String::new();
        loop {
            match self.next()? {
                Piece::Text(more) => text.push_str(&more),
                // A value without a type is a text.
                Piece::Close => return Ok(Value::String(text)),
                Piece::Open(name) => {
                    let value = self.typed(&name, depth)?;
                    self.close("</value>")?;
                    return Ok(value);
                }
                Piece::End => return Err(Piece::End.instead_of("</value>")),
            }
        }
    }

    /// The value whose type has been read, up to and with its end.
    fn typed(&mut self, name: &str, depth: usize) -> Result<Value, WireError> {
        match name {
            "string" | "base64" | "dateTime.iso8601" => self.text().map(Value::String),
            "nil" | "ex:nil" => self.close("</nil>").map(|()| Value::Null),
            "int" | "i1" | "i2" | "i4" | "i8" | "ex:i1" | "ex:i2" | "ex:i8" => {
                let text = self.text()?;
                let number: Result<i64, _> = text.trim().parse();
                number.map(Value::from).map_err(|_| Piece::Text(text).instead_of("a whole number"))
            }
            "double" => {
                let text = self.text()?;
                let number = text.trim().parse().ok().and_then(Number::from_f64);
                number.map(Value::Number).ok_or_else(|| Piece::Text(text).instead_of("a number"))
            }
            "boolean" => match self.text()?.trim() {
                "1" => Ok(Value::Bool(true)),
                "0" => Ok(Value::Bool(false)),
                other => Err(Piece::Text(other.to_owned()).instead_of("0 or 1")),
            },
            "array" => self.array(depth),
            "struct" => self.members(depth),
            other => Err(Piece::Open(other.to_owned()).instead_of("a type of XML-RPC")),
        }
    }

    fn text(&mut self) -> Result<String, WireError> {
        let mut text = String::new();
        loop {
            match self.next()? {
                Piece::Text(more) => text.push_str(&more),
                Piece::Close => return Ok(text),
                other @ (Piece::Open(_) | Piece::End) => return Err(other.instead_of("a text")),
            }
        }
    }

    fn array(&mut self, depth: usize) -> Result<Value, WireError> {
        self.open("data")?;
        let mut items = Vec::new();
        loop {
            match self.solid()? {
                Piece::Open(name) if name == "value" => items.push(self.value(depth + 1)?),
                Piece::Close => break,
                other @ (Piece::Open(_) | Piece::Text(_) | Piece::End) => {
                    return Err(other.instead_of("<value>"));
                }
            }
        }
        self.close("</array>")?;
        Ok(Value::Array(items))
    }

    fn members(&mut self, depth: usize) -> Result<Value, WireError> {
        let mut members = Map::new();
        loop {
            match self.solid()? {
                Piece::Open(name) if name == "member" => {
                    self.open("name")?;
                    let name = self.text()?;
                    self.open("value")?;
                    let value = self.value(depth + 1)?;
                    self.close("</member>")?;
                    members.insert(name, value);
                }
                Piece::Close => return Ok(Value::Object(members)),
                other @ (Piece::Open(_) | Piece::Text(_) | Piece::End) => {
                    return Err(other.instead_of("<member>"));
                }
            }
        }
    }
}

/// What a reference such as `&amp;` or `&#43;` stands for.
fn resolve(reference: &BytesRef<'_>) -> Result<String, WireError> {
    let not_xml = |why: String| WireError::NotXml { why: one_line(&why) };
    if let Some(c) = reference.resolve_char_ref().map_err(|error| not_xml(error.to_string()))? {
        return Ok(c.to_string());
    }
    let known = resolve_predefined_entity(reference).map(str::to_owned);
    known.ok_or_else(|| not_xml("an entity that XML itself does not have".to_owned()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(inner: &str, expected: Value) {
        let text = format!(
            "<?xml version='1.0'?><methodResponse>\n<params> <param>{inner}</param>\n</params></methodResponse>"
        );
        assert_eq!(answer(text.as_bytes()).unwrap().unwrap(), expected);
    }

    #[track_caller]
    fn refused(text: &str, expected: &str) {
        assert_eq!(answer(text.as_bytes()).unwrap_err().to_string(), expected);
    }

    #[test]
    fn every_type_has_its_value() {
        check("<value><int>-5</int></value>", json!(-5));
        check("<value><i8>9000000000</i8></value>", json!(9_000_000_000_i64));
        check("<value><boolean>1</boolean></value>", json!(true));
        check("<value><double>1.5</double></value>", json!(1.5));
        check("<value><nil/></value>", json!(null));
        check("<value>  plain &lt;&#43; </value>", json!("  plain <+ "));
        check("<value/>", json!(""));
        check("<value><string>a&amp;<![CDATA[<b>]]></string></value>", json!("a&<b>"));
        check(
            "<value><array><data>\n<value><int>1</int></value>\n<value>x</value></data></array></value>",
            json!([1, "x"]),
        );
        check("<value><array><data/></array></value>", json!([]));
        let member = "<member>\n<name>a</name>\n<value><nil></nil></value></member>";
        check(&format!("<value><struct>{member}</struct></value>"), json!({ "a": null }));
        check("<value><struct/></value>", json!({}));
    }

    #[test]
    fn what_is_sent_is_read_back_as_it_was() {
        let value =
            json!({ "name": "a<b>&", "list": [1, 5_000_000_000_i64, null, true, 1.5, "tab\there\r"], "empty": {} });
        let call = call("getBuild", std::slice::from_ref(&value));
        let inner = call.split_once("<params>").unwrap().1.split_once("</params>").unwrap().0;
        let text = format!("<methodResponse><params>{inner}</params></methodResponse>");
        assert_eq!(answer(text.as_bytes()).unwrap().unwrap(), value);
    }

    #[test]
    fn a_fault_is_one_line_of_text() {
        let fault = |text: &str| {
            let member =
                |name: &str, value: &str| format!("<member><name>{name}</name><value>{value}</value></member>");
            let members = member("faultCode", "<int>1000</int>") + &member("faultString", text);
            let text =
                format!("<methodResponse><fault><value><struct>{members}</struct></value></fault></methodResponse>");
            answer(text.as_bytes()).unwrap().unwrap_err()
        };
        assert_eq!(fault("no\nsuch  build"), Fault { code: 1000, text: "no such  build".to_owned() });
        let traceback = "Traceback (most recent call last):\n  File x\nKeyError: 'arch'\n";
        assert_eq!(fault(traceback).text, "KeyError: 'arch'");
    }

    #[test]
    fn what_is_no_answer_is_refused() {
        refused("", "the answer is not XML-RPC: expected methodResponse, found the end of the answer");
        refused("<html/>", "the answer is not XML-RPC: expected methodResponse, found <html>");
        refused(
            "<methodResponse><params><param><value><i9>1</i9>",
            "the answer is not XML-RPC: expected a type of XML-RPC, found <i9>",
        );
        assert!(answer(b"\xff").is_err());
        assert!(answer(b"<!DOCTYPE a [<!ENTITY b 'c'>]><methodResponse/>").is_err());
        assert!(
            answer(b"<methodResponse><params><param><value>&b;</value></param></params></methodResponse>").is_err()
        );
    }

    #[test]
    fn nesting_ends_somewhere() {
        let text = format!("<methodResponse><params><param>{}", "<value><array><data>".repeat(100_000));
        refused(&text, "the answer has more than 64 values inside of each other");
    }
}
