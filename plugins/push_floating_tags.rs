//! `push_floating_tags`: the tags that move with every build are moved, last of all.
//!
//! Reads the names and whether the image is in an index. Returns the order to move the floating names to the index,
//! else to the image; none while an index that they belong to is not there. Never fails.

use pipeline::{Facts, Made, Order, Orders, Plugin, PluginError, Publish, PublishView, Setup};

#[derive(Debug)]
struct PushFloatingTags;

#[expect(clippy::unnecessary_wraps, reason = "all plugins are made the same way")]
pub(crate) fn make(_: &Setup<'_>) -> Made<Publish> {
    Ok(Some(Box::new(PushFloatingTags)))
}

impl Plugin<Publish> for PushFloatingTags {
    fn run(&self, view: &PublishView<'_>) -> Result<Orders, PluginError> {
        Ok(if decide(view.facts) { Order::Float.into() } else { Orders::default() })
    }
}

/// Whether what the floating names are to mean is there.
fn decide(facts: &Facts) -> bool {
    let is_part = facts.tags().is_some_and(|tags| tags.group.is_some());
    !is_part || facts.index().is_some()
}

#[cfg(test)]
mod tests {
    use pipeline::{Fact, Group, Tags};

    use super::*;

    #[test]
    fn names_of_an_index_wait_for_it() {
        let mut facts = Facts::default();
        assert!(decide(&facts));
        let own = "r.example/a:u-x86_64".parse().unwrap();
        let tags = Tags { group: Some(Group { own, members: Vec::new() }), ..Tags::default() };
        facts.state("tag_from_config", Fact::Tags(tags)).unwrap();
        assert!(!decide(&facts));
    }
}
