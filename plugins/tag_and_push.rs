//! `tag_and_push`: the image gets its names.
//!
//! Reads nothing: where the image goes was decided before it was built, so that its layers could be sent while they
//! were written. Returns the order to commit them and to put manifest and tags, but for those that move with every
//! build. Never fails.

use pipeline::{Made, Order, Orders, Plugin, PluginError, Publish, PublishView, Setup};

#[derive(Debug)]
struct TagAndPush;

#[expect(clippy::unnecessary_wraps, reason = "all plugins are made the same way")]
pub(crate) fn make(_: &Setup<'_>) -> Made<Publish> {
    Ok(Some(Box::new(TagAndPush)))
}

impl Plugin<Publish> for TagAndPush {
    fn run(&self, _: &PublishView<'_>) -> Result<Orders, PluginError> {
        Ok(Order::Push.into())
    }
}
