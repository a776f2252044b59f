//! Placing listed rows: judge each by its cycle, take in what the books lack, and commit row, entries and alert together.

use std::collections::{BTreeMap, BTreeSet};

use domain::Date;
use domain::charge::{Billable, GatewayName};
use domain::cycle::Cycle;
use domain::ledger::Entry;
use domain::movement::{Kind, Listed, Movement};
use domain::settlement::{Bucket, Decided, Heard, Reason, SettlementRow};
use futures::future::join_all;

use super::heal::{Healed, Known};
use super::{Desk, Pass, ReconcileError};
use crate::store::{Key, PAGE_MAX, Record, StoreError, Write, typed};
use crate::usecase::book_entries::book;
use crate::usecase::{RACES, stamp};

/// Rows worked on at once.
const AT_ONCE: usize = 8;
/// Races for a month's gate that may be lost: documents are booked through it too.
const GATES: u32 = 20;

/// A listed row on its way into the table.
pub(super) struct Item {
    pub by: GatewayName,
    /// The day whose list it was in.
    pub day: Date,
    pub listed: Listed,
    /// Whether this is the last time the day is looked at.
    pub last: bool,
}

/// What became of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Placed {
    Same,
    Changed,
    /// What it is about may be in a list that is read later.
    Late,
    /// The gateway did not say what it is about.
    Unanswered,
}

type Stored = BTreeMap<(Date, String), SettlementRow>;
type Cycles = BTreeMap<Key, Cycle>;

impl Item {
    pub fn heard(&self) -> Heard<'_> {
        Heard { by: self.by, day: self.day, listed: &self.listed }
    }

    pub fn key(&self) -> Key {
        let (day, id) = self.heard().place();
        Key::Settlement { gateway: self.by, day, id }
    }

    pub fn moved(&self) -> Option<&Movement> {
        match &self.listed {
            Listed::Movement(moved) => Some(moved),
            Listed::Unreadable { .. } => None,
        }
    }

    /// The cycle its order names.
    pub fn billable(&self) -> Option<(Billable, Option<u32>)> {
        Billable::parse_order_id(self.moved()?.order_id.as_deref()?)
    }

    fn is_capture(&self) -> bool {
        self.moved().is_some_and(|moved| moved.kind == Kind::Capture)
    }

    /// Whether the stored row says all that could be said: matched, and listed as before.
    fn settled(&self, stored: Option<&SettlementRow>) -> bool {
        let (Some(stored), Some(moved)) = (stored, self.moved()) else { return false };
        let before = stored.movement.as_ref();
        let fee = moved.fee.as_ref().or(before.and_then(|before| before.fee.as_ref())).cloned();
        stored.verdict.bucket == Bucket::Matched && before == Some(&Movement { fee, ..moved.clone() })
    }
}

fn cycle_key(billable: &Billable) -> Key {
    Key::Cycle { subscription: billable.subscription.clone(), index: billable.index, seq: billable.seq }
}

/// One row of ours that does not read is that row's trouble alone.
pub(super) fn beside_damage(item: &Item, placed: Result<Placed, ReconcileError>) -> Result<Placed, ReconcileError> {
    match placed {
        Err(error) if error.is_damage() => {
            tracing::error!(gateway = item.by.as_str(), day = %item.day, %error, "a row of ours does not read");
            Ok(Placed::Unanswered)
        }
        other => other,
    }
}

impl Desk<'_> {
    /// Places a page of rows, captures first: what was given back is of a payment.
    pub(super) async fn place_all(
        &self,
        pass: &mut Pass,
        rows: Vec<Listed>,
        last: bool,
        late: &mut Vec<Item>,
    ) -> Result<(), ReconcileError> {
        pass.rows = pass.rows.saturating_add(u32::try_from(rows.len()).unwrap_or(u32::MAX));
        let mut items: Vec<Item> =
            rows.into_iter().map(|listed| Item { by: pass.gateway, day: pass.day, listed, last }).collect();
        items.sort_by_key(|item| !item.is_capture());
        let size = usize::try_from(PAGE_MAX).unwrap_or(AT_ONCE);
        let mut rest = items.into_iter().peekable();
        while rest.peek().is_some() {
            let mut page: Vec<Item> = rest.by_ref().take(size).collect();
            let stored = self.stored(&page).await?;
            page.retain(|item| !item.settled(stored.get(&item.heard().place())));
            let cycles = self.cycles(&page).await?;
            self.place_page(pass, page, &stored, &cycles, late).await?;
        }
        Ok(())
    }

    async fn place_page(
        &self,
        pass: &mut Pass,
        page: Vec<Item>,
        stored: &Stored,
        cycles: &Cycles,
        late: &mut Vec<Item>,
    ) -> Result<(), ReconcileError> {
        let mut page = page.into_iter().peekable();
        while let Some(first) = page.peek().map(Item::is_capture) {
            // A group never mixes captures with what is about them.
            let mut group = Vec::new();
            while group.len() < AT_ONCE
                && let Some(item) = page.next_if(|item| item.is_capture() == first)
            {
                group.push(item);
            }
            let work = group.iter().map(|item| {
                let cycle = item.billable().and_then(|(billable, _)| cycles.get(&cycle_key(&billable)));
                self.place(item, stored.get(&item.heard().place()).cloned(), cycle.cloned(), false)
            });
            let placed = join_all(work).await;
            for (item, placed) in group.into_iter().zip(placed) {
                let placed = beside_damage(&item, placed)?;
                pass.count(placed);
                if placed == Placed::Late {
                    late.push(item);
                }
            }
        }
        Ok(())
    }

    async fn stored(&self, page: &[Item]) -> Result<Stored, StoreError> {
        let keys: BTreeSet<Key> = page.iter().map(Item::key).collect();
        let keys: Vec<Key> = keys.into_iter().collect();
        let rows = typed::get_many::<SettlementRow>(self.charging.store.as_ref(), &keys).await?;
        Ok(rows.into_iter().map(|row| ((row.day, row.id.clone()), row)).collect())
    }

    async fn cycles(&self, page: &[Item]) -> Result<Cycles, StoreError> {
        let keys: BTreeSet<Key> = page.iter().filter_map(Item::billable).map(|(of, _)| cycle_key(&of)).collect();
        let keys: Vec<Key> = keys.into_iter().collect();
        let store = self.charging.store.as_ref();
        let cycles = match typed::get_many::<Cycle>(store, &keys).await {
            // Found one by one: the others are judged all the same.
            Err(StoreError::Corrupt(_)) => {
                let found = join_all(keys.iter().map(|key| typed::get::<Cycle>(store, key))).await;
                found.into_iter().filter_map(Result::ok).flatten().collect()
            }
            read => read?,
        };
        Ok(cycles.into_iter().map(|cycle| (Record::Cycle(cycle.clone()).key(), cycle)).collect())
    }

    /// Places one row. `finally` it is judged by what the books have now, whatever may still be read elsewhere; rows are
    /// loaded anew then.
    pub(super) async fn place(
        &self,
        item: &Item,
        stored: Option<SettlementRow>,
        cycle: Option<Cycle>,
        finally: bool,
    ) -> Result<Placed, ReconcileError> {
        let store = self.charging.store.as_ref();
        let key = item.key();
        let (mut stored, cycle) = match item.billable() {
            _ if !finally => (stored, cycle),
            None => (typed::get(store, &key).await?, None),
            Some((of, _)) => (typed::get(store, &key).await?, typed::get(store, &cycle_key(&of)).await?),
        };
        let mut known = Known { cycle, ..Known::default() };
        if self.heal(item, stored.as_ref(), &mut known).await? == Healed::Unanswered && !item.last {
            return Ok(Placed::Unanswered);
        }
        let mut booked = BTreeSet::new();
        for _ in 0..RACES {
            let row = item.heard().row(stored.as_ref(), known.ours(), known.brought, self.context.now);
            let lost = row.verdict.reason == Some(Reason::NotInBooks);
            if lost && !finally && !item.is_capture() {
                return Ok(Placed::Late);
            }
            let Some(decided) = row.decide(stored.as_ref())? else { return Ok(Placed::Same) };
            match self.commit(decided, &booked).await {
                Ok(()) => return Ok(Placed::Changed),
                Err(StoreError::Conflict { key: lost }) => {
                    // An entry that is there is booked, whatever became of the row that says so.
                    booked.extend(lost.filter(|key| matches!(key, Key::Posting { .. })));
                    stored = typed::get(store, &key).await?;
                }
                Err(e) => return Err(e.into()),
            }
        }
        Err(StoreError::Conflict { key: Some(key) }.into())
    }

    /// Writes a row with its entries, but those `booked` before, and its facts.
    pub(super) async fn commit(&self, decided: Decided, booked: &BTreeSet<Key>) -> Result<(), StoreError> {
        let Decided { row, entries, facts } = decided;
        let first = row.version == 0;
        let record = Record::Settlement(row);
        let row = if first { Write::New(record) } else { Write::Replace(record) };
        let posting = |entry: &Entry| Key::Posting { month: entry.month.clone(), id: entry.id.clone() };
        let entries: Vec<Entry> = entries.into_iter().filter(|entry| !booked.contains(&posting(entry))).collect();
        let (store, random) = (self.charging.store.as_ref(), self.charging.random.as_ref());
        if entries.is_empty() {
            return store.commit(&stamp::commit(random, self.context, vec![row], facts)).await;
        }
        // Every entry passes the gate of its month: rows placed at once would only race each other for it.
        let _turn = self.booking.lock().await;
        let mut tried = 0_u32;
        loop {
            let mut writes = vec![row.clone()];
            writes.extend(book(store, entries.clone()).await?);
            match store.commit(&stamp::commit(random, self.context, writes, facts.clone())).await {
                Err(StoreError::Conflict { key: Some(Key::Gate(_)) }) if tried < GATES => {
                    tried = tried.saturating_add(1)
                }
                done => return done,
            }
        }
    }
}
