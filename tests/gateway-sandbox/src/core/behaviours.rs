//! Overrides of how an already registered card answers: for the next few charges or for good.
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Core;

/// Overrides by customer key (Toss) or payment method id (Stripe).
pub(super) type Behaviours = BTreeMap<String, Override>;

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Override {
    card: String,
    /// Charges left; `None` means for good.
    times: Option<u32>,
}

impl Core {
    /// From now on `subject` answers like `card`, for `times` charges or for good. A new call replaces the old one.
    pub fn behave(&self, subject: String, card: String, times: Option<u32>) {
        self.state().behaviours.insert(subject, Override { card, times });
    }

    /// The card `subject` plays for this charge, if it was overridden. Uses up one of its times.
    pub fn behaviour(&self, subject: &str) -> Option<String> {
        let mut state = self.state();
        let playing = state.behaviours.get_mut(subject)?;
        let card = playing.card.clone();
        match &mut playing.times {
            None => return Some(card),
            Some(0) => {
                state.behaviours.remove(subject);
                return None;
            }
            Some(left) => *left -= 1,
        }
        Some(card)
    }
}
