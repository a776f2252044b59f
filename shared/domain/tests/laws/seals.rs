//! Seals: whatever is changed, left out, put in or put elsewhere in a sealed log is found.

use domain::event::{Actor, Event};
use domain::ids::{EventId, ulid};
use domain::seal::{Broken, Chain, Hash, Head, OutOfOrder, Seal, canonical, told, verify};
use jiff::Timestamp;
use jiff::civil::{Date, date};
use proptest::prelude::*;
use serde_json::{Map, Number, Value, json};

const SHARDS: usize = 4;

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        ".{0,6}".prop_map(Value::from),
    ];
    leaf.prop_recursive(2, 12, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(".{0,4}", inner, 0..4).prop_map(|m| Value::Object(m.into_iter().collect())),
        ]
    })
}

fn actor() -> impl Strategy<Value = Actor> {
    ("[a-z]{0,5}", 0..5).prop_map(|(id, kind)| match kind {
        0 => Actor::Operator(id),
        1 => Actor::Tenant(id),
        2 => Actor::Applicant(id),
        3 => Actor::Gateway(id),
        _ => Actor::System(id),
    })
}

prop_compose! {
    fn event()(ms in 0_i64..86_400_000, bits in any::<u128>(), kind in "[a-z]{1,6}", subject in ".{0,8}", actor in actor(),
        reason in prop::option::of(".{0,5}"), changes in prop::collection::btree_map("[a-z]{0,4}", value(), 0..4)) -> Event {
        let at = Timestamp::from_millisecond(1_796_083_200_000 + ms).unwrap();
        let changes: Map<String, Value> = changes.into_iter().collect();
        Event { id: EventId::new(ulid(at, bits)), at, kind, subject, actor, reason, changes }
    }
}

fn day() -> impl Strategy<Value = Vec<Vec<Event>>> {
    let shard = prop::collection::vec(event(), 0..5).prop_map(|mut events| {
        events.sort_by(|a, b| a.id.cmp(&b.id));
        events.dedup_by(|a, b| a.id == b.id);
        events
    });
    prop::collection::vec(shard, SHARDS)
}

fn heads(day: Date, shards: &[Vec<Event>]) -> Vec<Head> {
    let chained = shards.iter().enumerate().map(|(shard, events)| {
        let mut chain = Chain::new(day, u32::try_from(shard).unwrap());
        events.iter().for_each(|event| chain.add(event).unwrap());
        chain.head()
    });
    chained.collect()
}

fn first() -> Date {
    date(2026, 12, 1)
}

/// Days in a row, each sealed after the one before.
fn sealed(days: &[Vec<Vec<Event>>]) -> Vec<Seal> {
    let mut seals: Vec<Seal> = Vec::new();
    for (n, shards) in days.iter().enumerate() {
        let day = first() + jiff::Span::new().days(i64::try_from(n).unwrap());
        let previous = seals.last().map(|seal| seal.seal);
        seals.push(Seal::new(day, heads(day, shards), previous, Timestamp::UNIX_EPOCH));
    }
    seals
}

/// The first broken day.
fn check(seals: &[Seal], days: &[Vec<Vec<Event>>]) -> Result<(), (Date, Broken)> {
    let mut previous = None;
    for (seal, shards) in seals.iter().zip(days) {
        verify(seal, previous, &heads(seal.day, shards)).map_err(|broken| (seal.day, broken))?;
        previous = Some(seal.seal);
    }
    Ok(())
}

/// Reads canonical bytes back: that this can be written is what makes them unambiguous.
fn read(bytes: &[u8]) -> (Value, &[u8]) {
    let (tag, rest) = bytes.split_first().unwrap();
    let counted = || {
        let (n, rest) = rest.split_at(8);
        (usize::try_from(u64::from_be_bytes(n.try_into().unwrap())).unwrap(), rest)
    };
    match tag {
        b'z' => (Value::Null, rest),
        b't' => (true.into(), rest),
        b'f' => (false.into(), rest),
        b'n' | b's' => {
            let (n, rest) = counted();
            let (text, rest) = rest.split_at(n);
            let text = String::from_utf8(text.to_vec()).unwrap();
            let number = || text.parse::<i64>().map(Number::from).or_else(|_| text.parse::<u64>().map(Number::from));
            (if *tag == b'n' { Value::Number(number().unwrap()) } else { text.into() }, rest)
        }
        b'l' => {
            let (n, mut rest) = counted();
            let mut list = Vec::new();
            for _ in 0..n {
                let (one, left) = read(rest);
                list.push(one);
                rest = left;
            }
            (list.into(), rest)
        }
        b'm' => {
            let (n, mut rest) = counted();
            let mut map = Map::new();
            for _ in 0..n {
                let (name, left) = read(rest);
                let (one, left) = read(left);
                map.insert(name.as_str().unwrap().to_owned(), one);
                rest = left;
            }
            (map.into(), rest)
        }
        other => panic!("{other}"),
    }
}

proptest! {
    #[test]
    fn canonical_bytes_say_all_of_an_event_and_read_back_in_one_way(event in event()) {
        let bytes = canonical(&event);
        let (value, rest) = read(&bytes);
        prop_assert!(rest.is_empty());
        prop_assert_eq!(serde_json::from_value::<Event>(value).unwrap(), event);
    }

    #[test]
    fn the_order_of_attributes_does_not_matter(event in event()) {
        let Value::Object(fields) = serde_json::to_value(&event).unwrap() else { unreachable!() };
        let backwards: Vec<String> = fields.iter().rev().map(|(k, v)| format!("{}:{v}", Value::from(k.as_str()))).collect();
        let again: Event = serde_json::from_str(&format!("{{{}}}", backwards.join(","))).unwrap();
        prop_assert_eq!(canonical(&again), canonical(&event));
    }

    #[test]
    fn what_was_sealed_and_left_alone_verifies(days in prop::collection::vec(day(), 1..4)) {
        prop_assert_eq!(check(&sealed(&days), &days), Ok(()));
    }

    /// One byte of a text, a number, a name, an actor, a time: anything that makes it another event.
    #[test]
    fn another_event_in_the_place_of_one_is_found(mut days in prop::collection::vec(day(), 1..4), other in event(),
        at in any::<prop::sample::Index>()) {
        let seals = sealed(&days);
        let places: Vec<(usize, usize, usize)> = places(&days);
        prop_assume!(!places.is_empty());
        let (d, s, n) = places[at.index(places.len())];
        let changed = Event { id: days[d][s][n].id.clone(), ..other };
        prop_assume!(changed != days[d][s][n]);
        days[d][s][n] = changed;
        prop_assert!(found_in(check(&seals, &days), seals[d].day, s));
    }

    #[test]
    fn one_changed_byte_is_found(mut days in prop::collection::vec(day(), 1..4), at in any::<prop::sample::Index>(),
        byte in any::<prop::sample::Index>(), bit in 0..7_u8) {
        let seals = sealed(&days);
        let places = places(&days);
        prop_assume!(!places.is_empty());
        let (d, s, n) = places[at.index(places.len())];
        let mut text = serde_json::to_vec(&days[d][s][n]).unwrap();
        let byte = byte.index(text.len());
        text[byte] ^= 1 << bit;
        // A change that is no event any more is found by whoever reads the row.
        let Ok(changed) = serde_json::from_slice::<Event>(&text) else { return Ok(()) };
        prop_assume!(changed != days[d][s][n] && in_order(&days[d][s], n, &changed));
        days[d][s][n] = changed;
        prop_assert!(found_in(check(&seals, &days), seals[d].day, s));
    }

    #[test]
    fn a_missing_event_is_found(mut days in prop::collection::vec(day(), 1..4), at in any::<prop::sample::Index>()) {
        let seals = sealed(&days);
        let places = places(&days);
        prop_assume!(!places.is_empty());
        let (d, s, n) = places[at.index(places.len())];
        days[d][s].remove(n);
        prop_assert!(found_in(check(&seals, &days), seals[d].day, s));
    }

    #[test]
    fn a_late_or_invented_event_is_found(mut days in prop::collection::vec(day(), 1..4), new in event(),
        d in any::<prop::sample::Index>(), s in 0..SHARDS) {
        let seals = sealed(&days);
        let d = d.index(days.len());
        prop_assume!(days[d][s].iter().all(|event| event.id != new.id));
        days[d][s].push(new);
        days[d][s].sort_by(|a, b| a.id.cmp(&b.id));
        prop_assert!(found_in(check(&seals, &days), seals[d].day, s));
    }

    #[test]
    fn an_event_moved_to_another_shard_or_day_is_found(mut days in prop::collection::vec(day(), 2..4),
        at in any::<prop::sample::Index>(), to in 1..SHARDS, other_day in any::<bool>()) {
        let seals = sealed(&days);
        let places = places(&days);
        prop_assume!(!places.is_empty());
        let (d, s, n) = places[at.index(places.len())];
        let event = days[d][s].remove(n);
        let (d2, s2) = if other_day { ((d + 1) % days.len(), s) } else { (d, (s + to) % SHARDS) };
        prop_assume!(days[d2][s2].iter().all(|there| there.id != event.id));
        days[d2][s2].push(event);
        days[d2][s2].sort_by(|a, b| a.id.cmp(&b.id));
        prop_assert!(check(&seals, &days).is_err());
    }

    #[test]
    fn swapped_shards_are_found(mut days in prop::collection::vec(day(), 1..3), a in 0..SHARDS, by in 1..SHARDS) {
        let seals = sealed(&days);
        let b = (a + by) % SHARDS;
        prop_assume!(days[0][a] != days[0][b]);
        days[0].swap(a, b);
        let broken = check(&seals, &days).unwrap_err();
        prop_assert_eq!((broken.0, broken.1.shard()), (seals[0].day, Some(u32::try_from(a.min(b)).unwrap())));
        // Even the heads of two empty shards differ.
        let empty = heads(first(), &vec![Vec::new(); SHARDS]);
        prop_assert_ne!(empty[a], empty[b]);
    }

    #[test]
    fn swapped_days_are_found(days in prop::collection::vec(day(), 2..4), a in 0..3_usize) {
        let seals = sealed(&days);
        let (a, b) = (a % days.len(), (a + 1) % days.len());
        let mut swapped = days.clone();
        swapped.swap(a, b);
        prop_assume!(swapped != days);
        prop_assert!(check(&seals, &swapped).is_err(), "events of one day as those of another");
        let mut seals = seals;
        seals.swap(a, b);
        prop_assert!(check(&seals, &swapped).is_err(), "with their seals");
    }

    #[test]
    fn a_rewritten_day_breaks_every_later_one(mut days in prop::collection::vec(day(), 2..4), new in event()) {
        let seals = sealed(&days);
        prop_assume!(days[0][0].iter().all(|event| event.id != new.id));
        days[0][0].push(new);
        days[0][0].sort_by(|a, b| a.id.cmp(&b.id));
        // Whoever can write seals can make the first day look right; the second then does not follow it.
        let mut forged = seals.clone();
        forged[0] = sealed(&days)[0].clone();
        prop_assert_eq!(check(&forged, &days), Err((seals[1].day, Broken::Previous)));
    }

    #[test]
    fn events_out_of_order_are_refused(a in event(), b in event()) {
        prop_assume!(a.id < b.id);
        let mut chain = Chain::new(first(), 0);
        chain.add(&b).unwrap();
        let before = chain.head();
        prop_assert_eq!(chain.add(&a), Err(OutOfOrder));
        prop_assert_eq!(chain.add(&b), Err(OutOfOrder), "nor twice");
        prop_assert_eq!(chain.head(), before);
    }
}

fn places(days: &[Vec<Vec<Event>>]) -> Vec<(usize, usize, usize)> {
    let mut places = Vec::new();
    for (d, shards) in days.iter().enumerate() {
        for (s, events) in shards.iter().enumerate() {
            places.extend((0..events.len()).map(|n| (d, s, n)));
        }
    }
    places
}

fn in_order(events: &[Event], n: usize, changed: &Event) -> bool {
    let before = n.checked_sub(1).and_then(|n| events.get(n)).is_none_or(|event| event.id < changed.id);
    before && events.get(n + 1).is_none_or(|event| changed.id < event.id)
}

fn found_in(result: Result<(), (Date, Broken)>, day: Date, shard: usize) -> bool {
    matches!(result, Err((d, broken)) if d == day && broken.shard() == u32::try_from(shard).ok())
}

#[test]
fn every_field_of_a_seal_counts() {
    let shards = || heads(first(), &vec![Vec::new(); SHARDS]);
    let before = Seal::new(first(), shards(), None, Timestamp::UNIX_EPOCH);
    let day = first() + jiff::Span::new().days(1);
    let found = heads(day, &vec![Vec::new(); SHARDS]);
    let seal = Seal::new(day, found.clone(), Some(before.seal), Timestamp::UNIX_EPOCH);
    let of = |seal: &Seal| verify(seal, Some(before.seal), &found);
    assert_eq!(of(&seal), Ok(()));
    assert_eq!(of(&Seal { form: 2, ..seal.clone() }), Err(Broken::Form));
    assert_eq!(of(&Seal { day: first(), ..seal.clone() }), Err(Broken::Changed));
    assert_eq!(of(&Seal { previous: None, ..seal.clone() }), Err(Broken::Previous));
    assert_eq!(verify(&Seal { previous: None, ..seal.clone() }, None, &found), Err(Broken::Changed));
    assert_eq!(of(&Seal { seal: before.seal, ..seal.clone() }), Err(Broken::Changed));
    let mut fewer = seal.clone();
    fewer.shards.pop();
    assert_eq!(of(&fewer), Err(Broken::Changed));
    let mut counted = seal.clone();
    counted.shards[2].events = 1;
    assert_eq!(of(&counted), Err(Broken::Changed));
    assert_eq!(verify(&seal, Some(before.seal), &found[..3]), Err(Broken::Changed));
}

/// Stored seals depend on the form: these bytes and hashes never change.
#[test]
fn the_form_is_pinned() {
    let changes = json!({"b": [1, -2, null], "a": {"x": true}}).as_object().unwrap().clone();
    let event = Event {
        id: EventId::parse("evt_01KBAVXJ7MZQ8R5T2W4Y6A9C1E").unwrap(),
        at: Timestamp::from_millisecond(1_796_086_800_000).unwrap(),
        kind: "payment.captured".into(),
        subject: "sub_01KBAVXJ7MZQ8R5T2W4Y6A9C1E".into(),
        actor: Actor::System("billing_shard".into()),
        reason: None,
        changes,
    };
    let bytes = canonical(&event);
    assert_eq!((bytes[0], &bytes[1..9]), (b'm', &6_u64.to_be_bytes()[..]));
    assert_eq!(&bytes[9..18], b"s\0\0\0\0\0\0\0\x05", "the first key is `actor`");
    let mut chain = Chain::new(first(), 3);
    let empty = chain.head().head.to_string();
    chain.add(&event).unwrap();
    let seal = Seal::new(first(), vec![chain.head()], None, Timestamp::UNIX_EPOCH);
    let again = |text: &str| Hash::try_from(text.to_owned()).unwrap();
    assert_eq!(again(&empty).to_string(), empty);
    let pinned = [PINNED_EMPTY, PINNED_ONE, PINNED_DAY];
    assert_eq!([empty, chain.head().head.to_string(), seal.seal.to_string()], pinned);
    for bad in ["", "00", &PINNED_DAY.to_uppercase(), &format!("{PINNED_DAY}0"), &"g".repeat(64)] {
        assert!(Hash::try_from(bad.to_owned()).is_err(), "{bad}");
    }
}

const PINNED_EMPTY: &str = "017ded39f7c7bb48f50d21e3aa0c5e3b68ad3b94a724e330731b13f8f6b2f2a1";
const PINNED_ONE: &str = "c2c9e6864faf260f7d897583c32339d65f189750ba76357189d9cb5a379fd339";
const PINNED_DAY: &str = "36c38342dd672b05ee55b2270b8580a21754e6598ab298f1b60bdecb0f06e0c0";

#[test]
fn the_log_tells_of_its_own_seals() {
    let seal = Seal::new(first(), Vec::new(), None, Timestamp::UNIX_EPOCH);
    let fact = seal.fact();
    let event = Event {
        id: EventId::new(ulid(Timestamp::UNIX_EPOCH, 1)),
        at: Timestamp::UNIX_EPOCH,
        kind: fact.kind.into(),
        subject: fact.subject,
        actor: Actor::System("seal_audit".into()),
        reason: None,
        changes: fact.changes,
    };
    assert_eq!(told(&event), Some((first(), seal.seal)));
    assert_eq!(told(&Event { kind: "audit.broken".into(), ..event.clone() }), None);
    assert_eq!(told(&Event { subject: "audit#2026-12-02".into(), ..event }), None);
}
