//! How often unsigned events may make us ask a gateway: about one payment once in [`EVERY`], whoever sends them.
//!
//! Invariants: the memory is this process's own and bounded; when in doubt the answer is no, and whoever sent the event
//! sends it again, so that a question not asked now is asked later. An attacker who keeps a payment's turn taken makes us
//! read it back every [`EVERY`], which is all that the real event could have done.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use domain::charge::{Billable, GatewayName};
use jiff::{SignedDuration, Timestamp};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};

/// Shortest time between two questions about one payment.
pub const EVERY: SignedDuration = SignedDuration::from_secs(10);
/// Payments remembered at once, in each of two generations. More questions than this in [`EVERY`] are not asked.
const REMEMBERED: usize = 2_048;

/// When this process last asked about which payment.
#[derive(Default)]
pub struct Rereads(Mutex<Memory>);

/// Two generations: the younger one takes what is new, the older one is dropped whole once all of it has expired.
#[derive(Default)]
struct Memory {
    young: HashMap<String, Timestamp>,
    old: HashMap<String, Timestamp>,
    /// When the younger one began.
    since: Option<Timestamp>,
}

impl Rereads {
    /// The turn one unsigned event may take: once, for everything it makes us ask about this billable.
    pub fn about(&self, gateway: GatewayName, billable: &Billable) -> Turn<'_> {
        Turn(self, payment(gateway, billable))
    }

    /// The turn of a claimed secret, for comparing it. It is the claim's own: whoever does not know the secret cannot take
    /// the turn of the event that carries it.
    pub fn claimed(&self, gateway: GatewayName, billable: &Billable, secret: &SecretString) -> Turn<'_> {
        let claim = Sha256::digest(secret.expose_secret());
        Turn(self, format!("{} {}", payment(gateway, billable), hex::encode(claim)))
    }

    /// The same for an event that names no order: whose payment it is about is known only after asking, so all of them
    /// share one turn.
    pub fn about_unnamed(&self, gateway: GatewayName) -> Turn<'_> {
        Turn(self, gateway.as_str().to_owned())
    }

    fn taken(&self, payment: String, now: Timestamp) -> bool {
        let mut memory = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        memory.age(now);
        let recent = |at: &Timestamp| now.duration_since(*at) < EVERY;
        let asked = memory.young.get(&payment).or_else(|| memory.old.get(&payment)).is_some_and(recent);
        if asked || memory.young.len() >= REMEMBERED {
            return true;
        }
        memory.young.insert(payment, now);
        false
    }
}

/// Not the attempt: its number is the sender's to choose, and all attempts of a cycle are one payment.
fn payment(gateway: GatewayName, billable: &Billable) -> String {
    format!("{} {} {} {}", gateway.as_str(), billable.subscription, billable.index, billable.seq)
}

impl Memory {
    fn age(&mut self, now: Timestamp) {
        if self.since.is_some_and(|since| now.duration_since(since) < EVERY) {
            return;
        }
        // All of the older one was written before the younger one began.
        self.old = std::mem::take(&mut self.young);
        self.since = Some(now);
    }
}

/// The right to ask a gateway because of one event, about whatever that event makes us ask.
#[must_use]
pub struct Turn<'a>(&'a Rereads, String);

/// The gateway was asked about this payment a moment ago.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("asked about this payment a moment ago")]
pub struct TooSoon;

impl Turn<'_> {
    /// Call it directly before asking.
    ///
    /// # Errors
    /// When another event took the payment's turn less than [`EVERY`] ago.
    pub fn take(self, now: Timestamp) -> Result<(), TooSoon> {
        if self.0.taken(self.1, now) { Err(TooSoon) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::ids::{RequestId, ulid};

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_millisecond(1_800_000_000_000 + ms).unwrap()
    }

    fn billable(index: u32) -> Billable {
        Billable { subscription: RequestId::new(ulid(at(0), 1)).subscription(), index, seq: 0 }
    }

    fn ask(rereads: &Rereads, index: u32, ms: i64) -> bool {
        rereads.about(GatewayName::Toss, &billable(index)).take(at(ms)).is_ok()
    }

    #[test]
    fn one_payment_is_asked_about_once_in_ten_seconds() {
        let rereads = Rereads::default();
        let asked = [0, 1, 9_999, 10_000, 10_001, 19_999, 20_000, 90_000, 99_999].map(|ms| ask(&rereads, 1, ms));
        assert_eq!(asked, [true, false, false, true, false, false, true, true, false]);
        assert!(ask(&rereads, 2, 99_999), "another payment");
        assert!(rereads.about(GatewayName::Stripe, &billable(1)).take(at(99_999)).is_ok(), "another gateway");
    }

    #[test]
    fn whoever_does_not_know_the_secret_cannot_take_its_turn() {
        let rereads = Rereads::default();
        let claim = |secret: &str, ms| {
            let secret = SecretString::from(secret.to_owned());
            rereads.claimed(GatewayName::Toss, &billable(1), &secret).take(at(ms)).is_ok()
        };
        assert_eq!(
            [claim("ps_forged", 0), claim("ps_forged", 1), claim("ps_1", 2), claim("ps_1", 3)],
            [true, false, true, false]
        );
        assert!(ask(&rereads, 1, 4), "comparing takes no turn of the payment");
        assert!(rereads.about_unnamed(GatewayName::Toss).take(at(2)).is_ok());
        assert!(rereads.about_unnamed(GatewayName::Toss).take(at(3)).is_err(), "whatever it names");
    }

    #[test]
    fn memory_is_bounded_and_what_does_not_fit_is_not_asked() {
        let rereads = Rereads::default();
        let asked = (0..10_000).filter(|index| ask(&rereads, *index, 0)).count();
        assert_eq!(asked, REMEMBERED);
        assert!((0..10_000).all(|index| !ask(&rereads, index, 9_999)));
        assert_eq!((0..10_000).filter(|index| ask(&rereads, *index, 10_000)).count(), REMEMBERED);
        let memory = rereads.0.lock().unwrap();
        assert_eq!((memory.young.len(), memory.old.len()), (REMEMBERED, REMEMBERED));
    }
}
