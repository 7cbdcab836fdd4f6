//! `cancel_build_reservation`: a build that came to nothing does not keep its name in Koji.
//!
//! Reads what bump_release reserved, and how the build ended. Gives the reservation back, as failed or cancelled. Only
//! what is still building there can be given back, so that a build that was imported stays. Fails when the hub refuses.

use std::sync::Arc;

use koji::{BuildState, Hub, Refund, Reservation};
use pipeline::record::Status;
use pipeline::{Exit, ExitView, Made, Plugin, PluginError, Setup};

use crate::koji_rules::failed;

#[derive(Debug)]
struct CancelBuildReservation {
    hub: Arc<dyn Hub>,
    generator: String,
}

pub(crate) fn make(setup: &Setup<'_>) -> Made<Exit> {
    let (Some(hub), Some(koji)) = (&setup.wanted.hub, &setup.site.koji) else { return Ok(None) };
    if !koji.reserve_build {
        return Ok(None);
    }
    Ok(Some(Box::new(CancelBuildReservation { hub: Arc::clone(hub), generator: koji.content_generator.clone() })))
}

impl Plugin<Exit> for CancelBuildReservation {
    fn run(&self, view: &ExitView<'_>) -> Result<(), PluginError> {
        let reservation = view.facts.release().and_then(|release| release.reservation.as_ref());
        let (Some(reservation), Some(because)) = (reservation, decide(view.record.result.status)) else {
            return Ok(());
        };
        refund(self.hub.as_ref(), &self.generator, reservation, because)
    }
}

/// What becomes of the reservation of a build that ended so; none where it is kept.
fn decide(status: Status) -> Option<Refund> {
    match status {
        Status::Failed => Some(Refund::Failed),
        Status::Cancelled => Some(Refund::Canceled),
        Status::Running | Status::Succeeded => None,
    }
}

fn refund(hub: &dyn Hub, generator: &str, reservation: &Reservation, because: Refund) -> Result<(), PluginError> {
    let refunded = hub.refund(generator, reservation, because);
    let Err(error) = refunded else { return Ok(()) };
    // Its answer may have been lost, and then it was done.
    match hub.build_by_id(reservation.build_id) {
        Ok(Some(build)) if build.state != BuildState::Building => Ok(()),
        Ok(_) | Err(_) => Err(failed(&error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_came_to_nothing_is_given_back() {
        assert_eq!(decide(Status::Failed), Some(Refund::Failed));
        assert_eq!(decide(Status::Cancelled), Some(Refund::Canceled));
        assert_eq!(decide(Status::Succeeded), None);
    }
}
