//! Looking at dead letters and sending them back to work. Every message is a hint or a hand-off and may come twice, so
//! a letter that was sent again and could not be deleted only costs a repeated lookup.
//!
//! Invariants: a letter is deleted only after it was sent again; looking shows every letter to others again at once;
//! both are bounded, and stop at the first failure of a queue.

use std::collections::BTreeSet;
use std::time::Duration;

use domain::event::Fact;
use serde_json::json;

use super::stamp;
use crate::ports::{Context, DeadLetter, DeadLetters, DeadQueue, QueueUnavailable, Random};
use crate::store::{Store, StoreError};

/// Letters of one answer.
pub const LIST_MAX: usize = 50;
/// Letters sent again by one request.
pub const REDRIVE_MAX: u32 = 100;

/// How long a look may take before the letters show again by themselves.
const LOOK: Duration = Duration::from_secs(10);
/// How long sending a letter again and deleting it may take; afterwards it shows again.
const WORK: Duration = Duration::from_secs(60);

#[derive(Debug, thiserror::Error)]
pub enum DeadLettersError {
    #[error(transparent)]
    Queue(#[from] QueueUnavailable),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What is in a dead-letter queue.
pub struct Listed {
    /// At most [`LIST_MAX`], in no order.
    pub letters: Vec<DeadLetter>,
    /// About how many there are in all.
    pub total: u64,
}

/// What a redrive did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Redriven {
    /// Sent to their queue again.
    pub sent: u32,
    /// Of these, still here because they could not be deleted: they will be sent twice.
    pub undeleted: u32,
    /// About how many are left.
    pub left: u64,
}

/// Looks at the letters of a queue and puts them back.
///
/// # Errors
/// When the queue does not answer.
pub async fn list(queues: &dyn DeadLetters, queue: DeadQueue) -> Result<Listed, QueueUnavailable> {
    let total = queues.count(queue).await?;
    let mut letters: Vec<DeadLetter> = Vec::new();
    let mut seen = BTreeSet::new();
    while letters.len() < LIST_MAX {
        let batch = match queues.receive(queue, LOOK).await {
            Ok(batch) => batch,
            Err(e) => {
                give_back(queues, queue, &letters).await;
                return Err(e);
            }
        };
        let new: Vec<DeadLetter> = batch.into_iter().filter(|letter| seen.insert(letter.id.clone())).collect();
        if new.is_empty() {
            break;
        }
        letters.extend(new);
    }
    give_back(queues, queue, &letters).await;
    letters.truncate(LIST_MAX);
    Ok(Listed { letters, total })
}

async fn give_back(queues: &dyn DeadLetters, queue: DeadQueue, letters: &[DeadLetter]) {
    for letter in letters {
        queues.give_back(queue, letter).await;
    }
}

/// Sends up to `max` letters to the queue they came from and deletes them here. The event is written afterwards.
///
/// # Errors
/// When the first receive fails or the record of it cannot be written; what was sent stays sent.
pub async fn redrive(
    queues: &dyn DeadLetters,
    store: &dyn Store,
    random: &dyn Random,
    context: &Context,
    queue: DeadQueue,
    max: u32,
) -> Result<Redriven, DeadLettersError> {
    let mut done = move_all(queues, queue, max.min(REDRIVE_MAX)).await?;
    done.left = queues.count(queue).await.unwrap_or_default();
    let fact = Fact::new("dead_letters.redriven", format!("queue#{}", queue.as_str()))
        .with("sent", json!(done.sent))
        .with("undeleted", json!(done.undeleted));
    if done.sent > 0 {
        store.commit(&stamp::commit(random, context, Vec::new(), vec![fact])).await?;
    }
    Ok(done)
}

async fn move_all(queues: &dyn DeadLetters, queue: DeadQueue, max: u32) -> Result<Redriven, QueueUnavailable> {
    let mut done = Redriven::default();
    // A letter that could not be deleted may come again within this very request.
    let mut sent = BTreeSet::new();
    while done.sent < max {
        let batch = match queues.receive(queue, WORK).await {
            Ok(batch) => batch,
            Err(e) if done.sent == 0 => return Err(e),
            Err(_) => break,
        };
        if batch.is_empty() {
            break;
        }
        let mut stop = false;
        for letter in &batch {
            if stop || done.sent >= max || !sent.insert(letter.id.clone()) {
                queues.give_back(queue, letter).await;
                continue;
            }
            if queues.send_again(queue, letter).await.is_err() {
                queues.give_back(queue, letter).await;
                stop = true;
                continue;
            }
            done.sent = done.sent.saturating_add(1);
            if queues.delete(queue, letter).await.is_err() {
                done.undeleted = done.undeleted.saturating_add(1);
            }
        }
        if stop {
            break;
        }
    }
    Ok(done)
}

#[cfg(test)]
mod tests;
