//! From events to figures: counted once whoever hears them, however often and in whatever order; the levels are what the
//! rows say.

use domain::cancelling::CancelAt;
use domain::event::Event;
use domain::ids::SubscriptionId;
use domain::statistics::{ACTIVE, COUNTED, DUNNING, Sums};
use domain::subscription::Status;
use jiff::SignedDuration;
use jiff::tz::TimeZone;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use shared::store::memory::{Call, Fault};
use shared::store::schema::LOG_SHARDS;
use shared::store::{PAGE_MAX, Query, StoreError, typed};
use shared::usecase::count_events::{BATCH, count};
use shared::usecase::metrics::{Metrics, metrics};

use super::cancelling::cancelled;
use super::world::{Script, World};

/// Every event that counts, from the log.
async fn log(world: &World) -> Vec<Event> {
    let begin = super::world::BEGIN.parse::<jiff::Timestamp>().unwrap().to_zoned(TimeZone::UTC).date();
    let end = world.context().await.now.to_zoned(TimeZone::UTC).date();
    let mut events = Vec::new();
    for day in begin.series(jiff::Span::new().days(1)).take_while(|day| *day <= end) {
        for shard in 0..LOG_SHARDS {
            let mut cursor = None;
            loop {
                let query = Query::EventsOn { day, shard };
                let (page, next) =
                    typed::list::<Event>(&world.store, &query, PAGE_MAX, cursor.as_deref()).await.unwrap();
                events.extend(page);
                cursor = next;
                if cursor.is_none() {
                    break;
                }
            }
        }
    }
    events.retain(|event| COUNTED.contains(&event.kind.as_str()));
    events
}

/// Four subscriptions: paying, cancelled, recovered, in dunning; and their two months.
async fn lived() -> (World, Vec<SubscriptionId>) {
    let world = World::new().await;
    let mut ids = Vec::new();
    for _ in 0..4 {
        ids.push(world.onboard().await);
        world.wait(SignedDuration::from_hours(30));
    }
    cancelled(&world, &ids[1], CancelAt::Now).await;
    for (id, scripts) in [(&ids[0], &[Script::Capture][..]), (&ids[2], &[Script::Soft]), (&ids[3], &[Script::Soft])] {
        world.travel(world.subscription(id).await.due_at.unwrap());
        world.gateway.then(scripts);
        world.run().await;
    }
    // The first retry of one goes well; the other fails once more.
    let due = world.subscription(&ids[2]).await.due_at.unwrap();
    world.travel(due);
    world.run().await;
    let due = world.subscription(&ids[3]).await.due_at.unwrap();
    world.gateway.then(&[Script::Soft]);
    world.travel(due);
    world.run().await;
    (world, ids)
}

async fn shown(world: &World) -> Metrics {
    let (from, to) = ("2026-12-01".parse().unwrap(), "2027-02-28".parse().unwrap());
    metrics(&world.store, from, to, world.context().await.now).await.unwrap()
}

async fn hear(world: &World, events: &[Event]) -> Result<usize, StoreError> {
    count(&world.store, world.charging.random.as_ref(), world.context().await.now, events).await
}

async fn levels(world: &World, ids: &[SubscriptionId]) -> Sums {
    let (mut active, mut mrr, mut dunning) = (0, 0, 0);
    for id in ids {
        let row = world.subscription(id).await;
        if row.status == Status::Active {
            active += 1;
            mrr += row.amount.amount;
        }
        dunning += i64::from(row.dunning.is_some());
    }
    let all = [(ACTIVE.to_owned(), active), ("mrr.KRW".to_owned(), mrr), (DUNNING.to_owned(), dunning)];
    all.into_iter().filter(|(_, sum)| *sum != 0).collect()
}

#[tokio::test]
async fn figures_tie_to_the_gateways_ledger_and_to_the_rows() {
    let (world, ids) = lived().await;
    let events = log(&world).await;
    for batch in events.chunks(BATCH) {
        hear(&world, batch).await.unwrap();
    }
    let shown = shown(&world).await;
    let captures = i64::try_from(world.gateway.captures()).unwrap();
    let taken: i64 = world.gateway.ledger.lock().unwrap().iter().map(|(_, amount)| amount).sum();
    assert_eq!(shown.total["captured.KRW.count"], captures);
    assert_eq!(shown.total["captured.KRW.amount"], taken);
    assert_eq!(shown.total["recovered"], 1);
    let declined: i64 = shown.total.iter().filter(|(name, _)| name.starts_with("declined.SOFT.")).map(|(_, n)| n).sum();
    assert_eq!(declined, 3, "{:?}", shown.total);
    assert_eq!((shown.total["activated"], shown.total["cancelled"]), (4, 1));
    assert_eq!(shown.levels, levels(&world, &ids).await);
    assert!(shown.levels[DUNNING] == 1 && shown.levels[ACTIVE] == 3, "{:?}", shown.levels);
    assert_eq!((shown.open.unknowns, shown.open.complete), (0, true));
    let by_day: i64 = shown.days.iter().filter_map(|(_, sums)| sums.get("captured.KRW.count")).sum();
    assert_eq!(by_day, captures);
}

#[tokio::test]
async fn order_repeats_and_lost_answers_change_no_figure() {
    let (world, _) = lived().await;
    let events = log(&world).await;
    for batch in events.chunks(BATCH) {
        hear(&world, batch).await.unwrap();
    }
    let expected = shown(&world).await;
    for seed in 0..20 {
        let (world, _) = lived().await;
        let mut random = StdRng::seed_from_u64(seed);
        let mut mail: Vec<Event> = log(&world).await;
        mail.extend(mail.clone());
        mail.shuffle(&mut random);
        let dice = std::sync::Mutex::new(StdRng::seed_from_u64(seed + 1_000));
        world.store.inject(move |call| {
            let fault = match dice.lock().unwrap().random_range(0..4) {
                0 => Fault::AnswerLost,
                1 => Fault::Conflict,
                _ => return None,
            };
            matches!(call, Call::Commit(_)).then_some(fault)
        });
        while !mail.is_empty() {
            let batch = mail.split_off(mail.len().saturating_sub(random.random_range(1..8)));
            if hear(&world, &batch).await.is_err() {
                // It comes back, later.
                mail.splice(0..0, batch);
            }
        }
        world.store.heal();
        assert_eq!(shown(&world).await, expected, "seed {seed}");
    }
}

#[tokio::test]
async fn what_is_open_is_read_from_the_due_index() {
    let world = World::new().await;
    let id = world.onboard().await;
    let due = world.subscription(&id).await.due_at.unwrap();
    assert_eq!(shown(&world).await.open.oldest_due, None);
    world.travel(due.saturating_add(SignedDuration::from_hours(2)).unwrap());
    assert_eq!(shown(&world).await.open.oldest_due, Some(due));
    *world.gateway.habit.lock().unwrap() = Some(Script::Silence);
    world.run().await;
    let shown = shown(&world).await;
    assert_eq!(shown.open.unknowns, 1);
    assert_eq!((shown.total.len(), shown.levels.len()), (0, 0), "nothing was counted");
}
