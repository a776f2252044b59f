//! Taking in what the books lack: a capture nobody told of goes where every capture goes, to settle; refunds are asked for;
//! a dispute is taken from the row itself.

use domain::charge::{Answer, Billable, Capture};
use domain::cycle::Cycle;
use domain::dispute::Told;
use domain::movement::{Kind, Movement};
use domain::refund::SeenState;
use domain::settle::Report;
use domain::settlement::{Ours, Reason, SettlementRow};

use super::place::Item;
use super::{Desk, ReconcileError};
use crate::usecase::observe_refunds::{absorb, list};
use crate::usecase::receive_webhook::ReceiveError;
use crate::usecase::settle::{Loaded, SettleError, load, settle_report};

/// What is known of the order of a row.
#[derive(Default)]
pub(super) struct Known {
    pub cycle: Option<Cycle>,
    pub live: bool,
    pub given_back: i64,
    /// The capture was handed to settle now.
    pub brought: bool,
}

impl Known {
    pub fn ours(&self) -> Ours<'_> {
        Ours { cycle: self.cycle.as_ref(), live: self.live, given_back: self.given_back }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Healed {
    /// Whatever could be done was done.
    Done,
    /// The gateway did not answer a question.
    Unanswered,
}

impl Desk<'_> {
    /// Does what can be done for a row that the books do not explain; `known` is what they say afterwards.
    pub(super) async fn heal(
        &self,
        item: &Item,
        stored: Option<&SettlementRow>,
        known: &mut Known,
    ) -> Result<Healed, ReconcileError> {
        let (Some(moved), Some((of, n))) = (item.moved(), item.billable()) else { return Ok(Healed::Done) };
        let reason = |known: &Known| item.heard().row(stored, known.ours(), false, self.context.now).verdict.reason;
        if reason(known) == Some(Reason::NotInBooks) {
            let before = stored.is_some_and(|row| row.brought);
            let healed = match moved.kind {
                Kind::Capture => self.bring(moved, &of, n, before, known).await?,
                Kind::Refund | Kind::RefundReturned => self.absorb(item, moved, &of, None, known).await?,
                Kind::Dispute | Kind::DisputeReturned => {
                    self.absorb(item, moved, &of, told(moved).as_ref(), known).await?
                }
                Kind::Fee | Kind::PayOut | Kind::Other => Healed::Done,
            };
            if healed == Healed::Unanswered {
                return Ok(healed);
            }
        }
        if reason(known) == Some(Reason::Quarantined) {
            self.ask_given_back(item, moved, known).await
        } else {
            Ok(Healed::Done)
        }
    }

    /// Hands a capture to settle, once: it is attached or quarantined there.
    async fn bring(
        &self,
        moved: &Movement,
        of: &Billable,
        n: Option<u32>,
        before: bool,
        known: &mut Known,
    ) -> Result<Healed, ReconcileError> {
        let (Some(order_id), Some(payment_id)) = (&moved.order_id, &moved.payment_id) else { return Ok(Healed::Done) };
        let capture = Capture {
            order_id: order_id.clone(),
            payment_id: payment_id.clone(),
            charge_id: moved.charge_id.clone(),
            amount: moved.amount,
        };
        let answer = Answer::Captured(capture);
        let report = Report { index: of.index, seq: of.seq, n, answer, token: None };
        let loaded = if before {
            load(self.charging, &of.subscription, of.index, of.seq).await
        } else {
            known.brought = true;
            settle_report(self.charging, self.context, &of.subscription, &report, None, &[]).await
        };
        match loaded {
            Ok(Loaded { subscription, cycle }) => {
                known.live = subscription.live.is_some_and(|live| (live.index, live.seq) == (of.index, of.seq));
                known.cycle = cycle;
            }
            Err(SettleError::NotFound) => {}
            Err(e) => return Err(e.into()),
        }
        Ok(Healed::Done)
    }

    async fn absorb(
        &self,
        item: &Item,
        moved: &Movement,
        of: &Billable,
        told: Option<&Told>,
        known: &mut Known,
    ) -> Result<Healed, ReconcileError> {
        let Some(payment_id) = &moved.payment_id else { return Ok(Healed::Done) };
        self.charging.allowance.turn(item.by).await;
        match absorb(self.charging, self.context, item.by, of, payment_id, told).await {
            Ok(cycle) => known.cycle = cycle.or(known.cycle.take()),
            Err(ReceiveError::Unanswered) => return Ok(Healed::Unanswered),
            Err(e) => return Err(e.into()),
        }
        Ok(Healed::Done)
    }

    /// What went back of a payment in quarantine: its refunds are in no row of ours.
    async fn ask_given_back(&self, item: &Item, moved: &Movement, known: &mut Known) -> Result<Healed, ReconcileError> {
        let Some(payment_id) = &moved.payment_id else { return Ok(Healed::Done) };
        self.charging.allowance.turn(item.by).await;
        match list(self.charging, item.by, payment_id).await {
            Ok(seen) => {
                let stands = seen.iter().filter(|refund| refund.state == SeenState::Succeeded);
                known.given_back = stands.fold(0, |sum, refund| sum.saturating_add(refund.amount));
                Ok(Healed::Done)
            }
            Err(ReceiveError::Unanswered) => Ok(Healed::Unanswered),
            Err(e) => Err(e.into()),
        }
    }
}

/// What a row says about a dispute. Money that came back means it was won.
fn told(moved: &Movement) -> Option<Told> {
    let returned = moved.kind == Kind::DisputeReturned;
    Some(Told {
        id: moved.about.clone()?,
        amount: moved.amount.amount.checked_abs()?,
        status: if returned { "won" } else { "funds_withdrawn" }.to_owned(),
        reason: None,
        closed: returned,
    })
}
