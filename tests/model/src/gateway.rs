//! The gateway's memory and what it does with a request: the judge of what was really taken.
//!
//! It honours idempotency keys as long as the real ones do and protects nobody beyond that. Toss: one order id per
//! attempt, keys scoped by the URL (which names the card). Stripe: one PaymentIntent per cycle, keys that compare
//! parameters. What the adapters read from the wires is reduced to the values of `domain::charge`.

use domain::charge::{Answer, Billable, Capture, Decline, DeclineClass, GatewayName, Heard, Lookup};
use domain::ids::SubscriptionId;
use domain::money::Money;
use jiff::{SignedDuration, Timestamp};

/// A request on its way to a gateway.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Call {
    /// Number of the claim or resend it belongs to: whoever holds that one waits for its answer.
    pub claim: u8,
    pub gateway: GatewayName,
    pub index: u32,
    pub n: u32,
    /// Which card.
    pub card: u8,
    pub amount: i64,
    /// The PaymentIntent it confirms.
    pub intent: Option<u8>,
    /// From then on it is lost if it has not arrived.
    pub lost_at: Timestamp,
    /// Claimed or claimed again after the subscription had ended.
    pub after_end: bool,
}

/// What a gateway does with a request it has not executed before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Effect {
    Capture,
    /// Money is taken, but not what was asked for.
    CaptureLess,
    SoftDecline,
    HardDecline,
    /// Our API key is refused; nothing executed, nothing remembered.
    Refuse,
    /// A 4xx nobody knows; nothing executed, nothing remembered.
    Strange,
    /// A 5xx; nothing executed, nothing remembered.
    Break,
    /// It was executed before under this key: the same answer again.
    Replay,
}

/// An answer, in numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Said {
    Took(u8),
    Declined {
        hard: bool,
        intent: Option<u8>,
        charge: u8,
    },
    /// Its PaymentIntent was cancelled; the last charge made under it.
    Withdrawn {
        charge: Option<u8>,
    },
    Refused,
    Unknown {
        heard: u8,
        intent: Option<u8>,
    },
}

pub const NOTHING: u8 = 0;
pub const REFUSAL: u8 = 1;
pub const ERROR: u8 = 2;

/// What a look-up saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Seen {
    Found(Said),
    NotFound,
    Failed,
}

/// Money that moved.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Taken {
    pub gateway: GatewayName,
    pub index: u32,
    pub n: u32,
    pub amount: i64,
    pub intent: Option<u8>,
    pub charge: u8,
    pub after_end: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Reply {
    gateway: GatewayName,
    index: u32,
    n: u32,
    card: u8,
    intent: Option<u8>,
    first: Timestamp,
    said: Said,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Intent {
    index: u32,
    made_at: Timestamp,
    paid: Option<u8>,
    latest: Option<(u8, bool)>,
    cancelled: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Memory {
    pub taken: Vec<Taken>,
    replies: Vec<Reply>,
    intents: Vec<Intent>,
    charges: u8,
}

/// How long a key is remembered at the gateway. Longer than the window in which we rely on it.
#[must_use]
pub fn remembers(gateway: GatewayName) -> SignedDuration {
    match gateway {
        GatewayName::Toss => SignedDuration::from_hours(15 * 24),
        GatewayName::Stripe => SignedDuration::from_hours(24),
    }
}

impl Memory {
    /// The stored answer this request meets, if there is one.
    fn replay(&self, call: &Call, now: Timestamp) -> Option<Said> {
        let known = self.replies.iter().find(|r| {
            let same = (r.gateway, r.index, r.n) == (call.gateway, call.index, call.n);
            // Toss: the URL names the card, so another card is another request.
            let scoped = call.gateway == GatewayName::Stripe || r.card == call.card;
            same && scoped && now < r.first + remembers(r.gateway)
        })?;
        if call.gateway == GatewayName::Stripe && (known.card, known.intent) != (call.card, call.intent) {
            // "Keys for idempotent requests can only be used with the same parameters."
            return Some(Said::Unknown { heard: REFUSAL, intent: call.intent });
        }
        Some(known.said)
    }

    /// What executing this request would find: its earlier answer, or an intent that is paid or cancelled.
    #[must_use]
    pub fn meets(&self, call: &Call, now: Timestamp) -> Option<Said> {
        let confirmed = call.intent.filter(|_| call.gateway == GatewayName::Stripe);
        self.replay(call, now).or_else(|| {
            let intent = &self.intents[usize::from(confirmed?)];
            let gone = Said::Unknown { heard: REFUSAL, intent: confirmed };
            intent.paid.map(Said::Took).or(intent.cancelled.then_some(gone))
        })
    }

    /// Cancels an intent, unless it is paid: then says by what.
    pub fn cancel(&mut self, intent: u8) -> Option<Said> {
        let intent = &mut self.intents[usize::from(intent)];
        intent.cancelled = intent.paid.is_none();
        intent.paid.map(Said::Took)
    }

    /// Executes a request.
    pub fn execute(&mut self, call: &Call, effect: Effect, now: Timestamp) -> Said {
        if let Some(said) = self.meets(call, now) {
            return said;
        }
        let unknown = |heard| Said::Unknown { heard, intent: call.intent };
        let said = match effect {
            Effect::Refuse => return Said::Refused,
            Effect::Strange => return unknown(REFUSAL),
            Effect::Break | Effect::Replay => return unknown(ERROR),
            Effect::Capture => self.capture(call, call.amount, now),
            Effect::CaptureLess => self.capture(call, call.amount - 1, now),
            Effect::SoftDecline => self.decline(call, false, now),
            Effect::HardDecline => self.decline(call, true, now),
        };
        let Call { gateway, index, n, card, intent, .. } = *call;
        self.replies.push(Reply { gateway, index, n, card, intent, first: now, said });
        said
    }

    fn intent_of(&mut self, call: &Call, now: Timestamp) -> Option<u8> {
        (call.gateway == GatewayName::Stripe).then(|| {
            call.intent.unwrap_or_else(|| {
                self.intents.push(Intent {
                    index: call.index,
                    made_at: now,
                    paid: None,
                    latest: None,
                    cancelled: false,
                });
                small(self.intents.len() - 1)
            })
        })
    }

    fn capture(&mut self, call: &Call, amount: i64, now: Timestamp) -> Said {
        let (intent, charge) = (self.intent_of(call, now), self.charges);
        self.charges += 1;
        let which = small(self.taken.len());
        if let Some(i) = intent {
            self.intents[usize::from(i)].paid = Some(which);
        }
        let Call { gateway, index, n, after_end, .. } = *call;
        self.taken.push(Taken { gateway, index, n, amount, intent, charge, after_end });
        Said::Took(which)
    }

    fn decline(&mut self, call: &Call, hard: bool, now: Timestamp) -> Said {
        let (intent, charge) = (self.intent_of(call, now), self.charges);
        self.charges += 1;
        if let Some(i) = intent {
            self.intents[usize::from(i)].latest = Some((charge, hard));
        }
        Said::Declined { hard, intent, charge }
    }

    /// Asks about an attempt, as the adapters do.
    #[must_use]
    pub fn find(&self, find: &Find<'_>) -> Seen {
        match find.gateway {
            // By order id; of a declined approval Toss keeps no payment.
            GatewayName::Toss => {
                let ours = |t: &Taken| (t.gateway, t.index, t.n) == (GatewayName::Toss, find.index, find.n);
                self.taken.iter().position(ours).map_or(Seen::NotFound, |i| Seen::Found(Said::Took(small(i))))
            }
            GatewayName::Stripe => {
                let since = find.since - SignedDuration::from_secs(300);
                let listed = self.intents.iter().enumerate().rev();
                let ours = listed.filter(|(_, i)| i.index == find.index && i.made_at >= since);
                let best = match find.intent {
                    Some(i) => Some(i),
                    // Paid ones first, else the newest.
                    None => ours.reduce(|a, b| if b.1.paid.is_some() { b } else { a }).map(|(i, _)| small(i)),
                };
                best.map_or(Seen::NotFound, |i| self.judge(i, find))
            }
        }
    }

    fn judge(&self, which: u8, find: &Find<'_>) -> Seen {
        let intent = &self.intents[usize::from(which)];
        match (intent.paid, intent.latest) {
            (Some(taken), _) => Seen::Found(Said::Took(taken)),
            (None, latest) if intent.cancelled => {
                Seen::Found(Said::Withdrawn { charge: latest.map(|(charge, _)| charge) })
            }
            (None, Some((charge, hard))) if !find.known.contains(&charge_id(charge)) => {
                Seen::Found(Said::Declined { hard, intent: Some(which), charge })
            }
            (None, _) => Seen::NotFound,
        }
    }

    /// When it last did something that a look-up should see.
    #[must_use]
    pub fn latest(&self) -> Option<Timestamp> {
        self.replies.iter().map(|r| r.first).max()
    }

    /// When the gateway forgets a key, for every key it knows.
    pub fn forgets(&self) -> impl Iterator<Item = Timestamp> + '_ {
        self.replies.iter().map(|r| r.first + remembers(r.gateway))
    }

    /// The capture as the adapters pass it on.
    #[must_use]
    pub fn capture_of(&self, which: u8, subscription: &SubscriptionId, owed: Money) -> Capture {
        let taken = &self.taken[usize::from(which)];
        let billable = Billable { subscription: subscription.clone(), index: taken.index, seq: 0 };
        Capture {
            order_id: billable.order_id(taken.gateway, taken.n),
            payment_id: taken.intent.map_or_else(|| format!("pay_{}", taken.charge), intent_id),
            charge_id: taken.intent.map(|_| charge_id(taken.charge)),
            amount: Money { amount: taken.amount, ..owed },
        }
    }

    /// An answer in the words of the domain.
    #[must_use]
    pub fn answer(&self, said: Said, subscription: &SubscriptionId, owed: Money) -> Answer {
        match said {
            Said::Took(which) => Answer::Captured(self.capture_of(which, subscription, owed)),
            Said::Declined { hard, intent, charge } => {
                decline(hard, "REJECT_CARD_PAYMENT", intent, intent.map(|_| charge))
            }
            Said::Withdrawn { charge } => decline(false, "canceled", None, charge),
            Said::Refused => Answer::Refused { code: "UNAUTHORIZED_KEY".to_owned() },
            Said::Unknown { heard, intent } => {
                let heard = [Heard::Nothing, Heard::Refusal, Heard::Error][usize::from(heard)];
                Answer::Unknown { heard, code: None, intent: intent.map(intent_id) }
            }
        }
    }

    #[must_use]
    pub fn looked(&self, seen: Seen, subscription: &SubscriptionId, owed: Money) -> Lookup {
        match seen {
            Seen::Found(said) => Lookup::Found(self.answer(said, subscription, owed)),
            Seen::NotFound => Lookup::NotFound,
            Seen::Failed => Lookup::Failed,
        }
    }
}

/// What a look-up asks about.
pub struct Find<'a> {
    pub gateway: GatewayName,
    pub index: u32,
    pub n: u32,
    pub intent: Option<u8>,
    pub known: &'a [String],
    pub since: Timestamp,
}

fn decline(hard: bool, code: &str, intent: Option<u8>, charge: Option<u8>) -> Answer {
    Answer::Declined(Decline {
        class: if hard { DeclineClass::Hard } else { DeclineClass::Soft },
        code: code.to_owned(),
        intent: intent.map(intent_id),
        charge_id: charge.map(charge_id),
    })
}

fn intent_id(intent: u8) -> String {
    format!("pi_{intent}")
}

/// The number in an intent's id.
#[must_use]
pub fn intent_number(id: &str) -> Option<u8> {
    id.strip_prefix("pi_")?.parse().ok()
}

fn charge_id(charge: u8) -> String {
    format!("ch_{charge}")
}

fn small(n: usize) -> u8 {
    u8::try_from(n).expect("a handful of payments")
}
