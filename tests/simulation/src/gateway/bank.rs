//! Cards and the windows in which they are entered. How a card behaves is drawn when it is entered.

use domain::charge::{DeclineClass, GatewayName};
use shared::gateway::GatewayError;

use crate::clock::DAY;
use crate::rng::Rng;
use crate::trace::Who;

/// How a card answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Habit {
    Good,
    /// Soft declines, so many in ten thousand.
    Flaky(u32),
    /// Soft declines until then.
    BrokeUntil(i64),
    /// Refused in this way from then on.
    Dies(i64, DeclineClass),
}

impl Habit {
    /// A card as people have them, over a history of `length` milliseconds.
    #[must_use]
    pub fn drawn(rng: &Rng, now: i64, length: i64) -> Habit {
        match rng.below(20) {
            0..=11 => Habit::Good,
            12..=14 => Habit::Flaky(u32::try_from(rng.range(1_000, 6_000)).unwrap()),
            15..=16 => Habit::BrokeUntil(rng.range(now, now + 20 * DAY)),
            17 => Habit::Dies(rng.range(now, now + length), DeclineClass::Soft),
            18 => Habit::Dies(rng.range(now, now + length), DeclineClass::Auth),
            _ => Habit::Dies(rng.range(now, now + length), DeclineClass::Hard),
        }
    }

    fn verdict(self, now: i64, rng: &Rng) -> Option<DeclineClass> {
        match self {
            Habit::Good => None,
            Habit::Flaky(often) => rng.chance(often).then_some(DeclineClass::Soft),
            Habit::BrokeUntil(then) => (now < then).then_some(DeclineClass::Soft),
            Habit::Dies(then, class) => (now >= then).then_some(class),
        }
    }
}

#[derive(Clone, Debug)]
pub struct Card {
    pub who: Who,
    pub gateway: GatewayName,
    pub token: String,
    pub customer: String,
    pub habit: Habit,
    pub removed: bool,
}

struct Window {
    once: String,
    who: Who,
    gateway: GatewayName,
    habit: Habit,
    /// The key it was exchanged under, and the card that came of it.
    used: Option<(String, usize)>,
}

#[derive(Default)]
pub struct Bank {
    cards: Vec<Card>,
    windows: Vec<Window>,
}

impl Bank {
    /// A person enters a card in the gateway's window. Returns the single-use name of the result.
    pub fn enter(&mut self, who: Who, gateway: GatewayName, habit: Habit) -> String {
        let once = format!("once-{}", self.windows.len());
        self.windows.push(Window { once: once.clone(), who, gateway, habit, used: None });
        once
    }

    /// Exchanges a window's result for a card: once, or again under the same key.
    pub fn exchange(
        &mut self,
        gateway: GatewayName,
        once: &str,
        key: &str,
        customer: &str,
    ) -> Result<Card, GatewayError> {
        let at = self.windows.len();
        let window = self.windows.iter_mut().find(|w| w.once == once && w.gateway == gateway);
        let window = window.ok_or(GatewayError::NotFound)?;
        if let Some((by, card)) = &window.used {
            return if by == key { Ok(self.cards[*card].clone()) } else { Err(GatewayError::NotFound) };
        }
        let token = format!("tok-{}-{}-{at}", gateway.as_str(), self.cards.len());
        let (who, habit) = (window.who, window.habit);
        window.used = Some((key.to_owned(), self.cards.len()));
        self.cards.push(Card { who, gateway, token, customer: customer.to_owned(), habit, removed: false });
        Ok(self.cards[self.cards.len() - 1].clone())
    }

    #[must_use]
    pub fn card(&self, token: &str) -> Option<&Card> {
        self.cards.iter().find(|card| card.token == token)
    }

    pub fn card_mut(&mut self, token: &str) -> Option<&mut Card> {
        self.cards.iter_mut().find(|card| card.token == token)
    }

    /// How the card of a token answers now: none is a yes.
    #[must_use]
    pub fn verdict(&self, token: &str, now: i64, rng: &Rng) -> Option<DeclineClass> {
        match self.card(token) {
            Some(card) if !card.removed => card.habit.verdict(now, rng),
            Some(_) | None => Some(DeclineClass::Hard),
        }
    }

    /// Whether every card a person ever used would have paid at any time.
    #[must_use]
    pub fn never_refused(&self, who: Who) -> bool {
        self.cards.iter().filter(|c| c.who == who).all(|c| c.habit == Habit::Good && !c.removed)
    }
}
