//! Everything under way: queue messages, webhooks and what people are going to do, each with the moment at which it
//! arrives. Queues deliver at least once, in any order, sometimes late; webhooks as the gateways please.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use domain::charge::{Answer, Billable, GatewayName};
use domain::ids::{RunId, SubscriptionId};
use domain::settle::Hint;
use shared::ports::{Hints, QueueUnavailable, ShardMessage, Shards};

use crate::clock::{DAY, HOUR, MINUTE, SECOND};
use crate::sim::Sim;
use crate::trace::{NOBODY, Who};
use crate::weather::Kind;

/// What a gateway says by itself.
#[derive(Clone, Debug)]
pub enum Hook {
    /// Unsigned: names an order, proves nothing.
    Toss { order_id: String },
    /// Signed, with an id that duplicates share.
    Stripe { id: String, billable: Billable, answer: Answer },
    /// A card is gone at the gateway.
    Removed { id: String, gateway: GatewayName, token: String },
}

impl Hook {
    /// The event of a payment that was taken or refused. `event` is unique to it.
    #[must_use]
    pub fn payment(gateway: GatewayName, event: &str, order_id: &str, answer: Answer) -> Option<Hook> {
        match gateway {
            GatewayName::Toss => Some(Hook::Toss { order_id: order_id.to_owned() }),
            GatewayName::Stripe => {
                let (billable, _) = Billable::parse_order_id(order_id)?;
                Some(Hook::Stripe { id: format!("evt-{event}"), billable, answer })
            }
        }
    }
}

#[derive(Clone, Debug)]
pub enum Letter {
    Shard {
        message: ShardMessage,
        received: u32,
    },
    Hint {
        id: SubscriptionId,
        received: u32,
    },
    Hook {
        who: Who,
        hook: Hook,
        tries: u32,
    },
    Person(Who),
    /// The operators' daily round.
    Operators,
    /// An operator lets a paused gateway go on.
    Resume(GatewayName),
    /// An operator lets a held run go on.
    Approve(RunId),
    /// A second tick of the schedule, a moment after the first.
    TickAgain,
}

/// Letters by arrival, then by order of posting.
#[derive(Default)]
pub struct Mail {
    letters: BTreeMap<(i64, u64), Letter>,
    posted: u64,
}

impl Mail {
    pub fn post(&mut self, at: i64, letter: Letter) {
        self.posted += 1;
        self.letters.insert((at, self.posted), letter);
    }

    #[must_use]
    pub fn next_at(&self) -> Option<i64> {
        self.letters.keys().next().map(|(at, _)| *at)
    }

    /// The next letter that has arrived by `now`.
    pub fn take(&mut self, now: i64) -> Option<Letter> {
        let first = self.letters.first_entry().filter(|first| first.key().0 <= now)?;
        Some(first.remove())
    }

    /// Whether anything of a kind arrives by then.
    pub fn any(&self, by: i64, wanted: impl Fn(&Letter) -> bool) -> bool {
        self.letters.range(..(by, u64::MAX)).any(|(_, letter)| wanted(letter))
    }
}

impl Sim {
    pub fn post(&self, delay: i64, letter: Letter) {
        self.mail.lock().unwrap().post(self.now() + delay.max(0), letter);
        self.wake.notify_one();
    }

    /// A queue takes a message: delivered once, twice, or late.
    pub fn enqueue(&self, delay: i64, letter: Letter) {
        let late = if self.strikes(Kind::MessageLate, NOBODY) { self.rng.range(SECOND, HOUR) } else { 0 };
        if self.strikes(Kind::MessageTwice, NOBODY) {
            self.post(delay + self.rng.range(0, 10 * MINUTE), letter.clone());
        }
        self.post(delay + late + self.rng.range(5, 200), letter);
    }

    /// A gateway sends an event.
    pub fn tell(&self, who: Who, hook: Option<Hook>) {
        if !self.strikes(Kind::HookDropped, who) {
            self.tell_in_the_end(who, hook);
        }
    }

    /// The same for an event that is not lost for good: nothing but it, and a reconciliation that is not part of this
    /// world, would ever say that the payment was made.
    pub fn tell_in_the_end(&self, who: Who, hook: Option<Hook>) {
        let Some(hook) = hook else { return };
        let early = self.rng.below(10) < 3 && !self.calm();
        if early {
            self.count(Kind::HookEarly, who);
        }
        let mut delay = match self.rng.below(10) {
            _ if early => self.rng.range(0, 4),
            0..=7 => self.rng.range(100, 5 * SECOND),
            _ => self.rng.range(10 * SECOND, 5 * MINUTE),
        };
        if self.strikes(Kind::HookOvertaken, who) {
            delay += self.rng.range(MINUTE, 2 * HOUR);
        }
        if self.strikes(Kind::HookDays, who) {
            delay += self.rng.range(DAY, 4 * DAY);
        }
        if self.strikes(Kind::HookTwice, who) {
            let again = Letter::Hook { who, hook: hook.clone(), tries: 0 };
            self.post(delay + self.rng.range(0, HOUR), again);
        }
        self.post(delay, Letter::Hook { who, hook, tries: 0 });
    }
}

/// The queues as a process reaches them.
pub struct Queues(pub Arc<Sim>);

#[async_trait]
impl Shards for Queues {
    async fn send(&self, message: &ShardMessage, delay: Duration) -> Result<(), QueueUnavailable> {
        if self.0.strikes(Kind::MessageLost, NOBODY) {
            return Err(QueueUnavailable);
        }
        let delay = i64::try_from(delay.as_millis().min(900_000)).unwrap();
        self.0.enqueue(delay, Letter::Shard { message: message.clone(), received: 0 });
        Ok(())
    }
}

#[async_trait]
impl Hints for Queues {
    async fn send(&self, subscription: &SubscriptionId, _: &str, hint: Hint) {
        if self.0.strikes(Kind::MessageLost, NOBODY) {
            return;
        }
        // As the queue's client does: an open outcome is asked for half a minute later.
        let delay = if hint == Hint::Unknown { 30 * SECOND } else { 0 };
        self.0.enqueue(delay, Letter::Hint { id: subscription.clone(), received: 0 });
    }

    /// The queue's count is approximate: hints that come later than in a minute are not seen, or every one that was
    /// delayed for an hour would keep a runner asking for as long.
    async fn idle(&self) -> bool {
        let soon = self.0.now() + MINUTE;
        !self.0.mail.lock().unwrap().any(soon, |letter| matches!(letter, Letter::Hint { .. }))
    }
}
