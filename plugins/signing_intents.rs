//! Which keys stand for how far a package may go: the rules of signing intents. Pure.

use std::collections::BTreeSet;

use pipeline::site::SigningIntent;
use pipeline::{Class, PluginError};

/// The site's intents, the most restrictive first.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Intents<'i>(pub(crate) &'i [SigningIntent]);

impl<'i> Intents<'i> {
    /// The intent of this name.
    pub(crate) fn named(&self, name: &str) -> Result<&'i SigningIntent, PluginError> {
        self.0.iter().find(|intent| intent.name == name).ok_or_else(|| {
            let names: Vec<&str> = self.0.iter().map(|intent| intent.name.as_str()).collect();
            let text = format!("there is no signing intent {name}");
            PluginError::new(Class::Source, text).help(format!("there are {}", names.join(", ")))
        })
    }

    /// The most restrictive intent that has all these keys; where none has, the most restrictive that had them once.
    /// No key at all stands for an intent without keys.
    pub(crate) fn of_keys(&self, keys: &[String]) -> Result<&'i SigningIntent, PluginError> {
        let wanted: BTreeSet<&String> = keys.iter().collect();
        let now = |intent: &&SigningIntent| {
            let has: BTreeSet<&String> = intent.keys.iter().collect();
            has == wanted || (!wanted.is_empty() && has.is_superset(&wanted))
        };
        let once = |intent: &&SigningIntent| {
            let has: BTreeSet<&String> = intent.keys.iter().chain(&intent.deprecated_keys).collect();
            !wanted.is_empty() && has.is_superset(&wanted)
        };
        let found = self.0.iter().find(now).or_else(|| self.0.iter().find(once));
        found.ok_or_else(|| {
            let keys = if keys.is_empty() { "no key at all".to_owned() } else { keys.join(", ") };
            PluginError::new(Class::Refused, format!("no signing intent of the site has the keys of a compose: {keys}"))
                .help("name the keys under odcs.signing_intents, or under deprecated_keys of one of them")
        })
    }

    /// The least restrictive of several.
    pub(crate) fn least(&self, several: impl IntoIterator<Item = &'i SigningIntent>) -> Option<&'i SigningIntent> {
        let rank = |intent: &&SigningIntent| self.0.iter().position(|known| known.name == intent.name);
        several.into_iter().max_by_key(rank)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn intents() -> Vec<SigningIntent> {
        let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        let intent = |name: &str, keys: &[&str], deprecated: &[&str]| SigningIntent {
            name: name.to_owned(),
            keys: texts(keys),
            deprecated_keys: texts(deprecated),
        };
        vec![
            intent("release", &["R1", "R2"], &[]),
            intent("beta", &["R1", "B1"], &["B0"]),
            intent("unsigned", &[], &[]),
        ]
    }

    #[track_caller]
    fn check(keys: &[&str], expected: Option<&str>) {
        let (all, keys) = (intents(), keys.iter().map(|key| (*key).to_owned()).collect::<Vec<_>>());
        assert_eq!(Intents(&all).of_keys(&keys).ok().map(|intent| intent.name.as_str()), expected);
    }

    #[test]
    fn keys_stand_for_the_most_restrictive_intent_that_has_them() {
        check(&["R1"], Some("release"));
        check(&["B1", "R1"], Some("beta"));
        check(&["B0", "R1"], Some("beta"));
        check(&[], Some("unsigned"));
        check(&["Z"], None);
        check(&["R1", "Z"], None);
    }

    #[test]
    fn the_least_restrictive_counts_for_all() {
        let all = intents();
        let intents = Intents(&all);
        let least = intents.least([intents.named("beta").unwrap(), intents.named("release").unwrap()]).unwrap();
        assert_eq!(least.name, "beta");
        assert_eq!(intents.named("x").unwrap_err().help.as_deref(), Some("there are release, beta, unsigned"));
    }
}
