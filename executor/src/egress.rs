//! How much the team may still send by HTTP: the control-plane says so with every claim and report, and
//! counts what is reported. Between two reports the executor counts for itself, for its task alone, so
//! that several tasks of a team together may go over by what they send within that time.

use std::sync::{Mutex, PoisonError};

/// The bytes of a task's requests.
#[derive(Debug)]
pub(crate) struct Egress(Mutex<EgressState>);

#[derive(Debug)]
struct EgressState {
    /// What may still be sent; `None` when the control-plane sets no limit (an older one).
    left: Option<u64>,
    /// What was sent and not reported yet.
    unreported: u64,
}

impl Egress {
    pub(crate) fn new(left: Option<u64>) -> Self {
        Self(Mutex::new(EgressState { left, unreported: 0 }))
    }

    /// Counts a request before it goes out; false when it may not.
    pub(crate) fn spend(&self, bytes: u64) -> bool {
        let mut counted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut counted.left {
            Some(left) if *left < bytes => return false,
            Some(left) => *left -= bytes,
            None => {}
        }
        counted.unreported = counted.unreported.saturating_add(bytes);
        true
    }

    /// What goes into the next report.
    pub(crate) fn report(&self) -> u64 {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner).unreported)
    }

    /// The control-plane says what is left; it does not know yet of what was sent since the report.
    pub(crate) fn set_left(&self, left: Option<u64>) {
        let mut counted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counted.left = left.map(|left| left.saturating_sub(counted.unreported));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_spent_and_reported_once() {
        let egress = Egress::new(Some(100));
        assert!(egress.spend(60));
        assert!(!egress.spend(41), "more than is left");
        assert!(egress.spend(40));
        assert_eq!((egress.report(), egress.report()), (100, 0));
        egress.set_left(Some(50));
        assert!(egress.spend(50));
        egress.set_left(Some(70));
        assert!(!egress.spend(21), "50 of the 70 are spent and not reported");
        assert!(egress.spend(20));
        egress.set_left(None);
        assert!(egress.spend(u64::MAX));
    }
}
