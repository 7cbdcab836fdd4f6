//! Phases, plugins, site configuration, record.

pub mod site;
