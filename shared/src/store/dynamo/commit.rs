//! Conditional writes, and telling a lost race from our own write whose answer was lost.

use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{
    AttributeValue, CancellationReason, Put as PutRequest, ReturnValuesOnConditionCheckFailure, TransactWriteItem,
};
use sha2::{Digest, Sha256};

use super::super::prepare::Put;
use super::super::rows::WRITTEN_BY;
use super::super::{Key, StoreError};
use super::attributes::to_attributes;
use super::{Attributes, DynamoStore, fault};

/// Bytes of a commit's hash that make the request token: 32 of the 36 characters allowed.
const TOKEN_BYTES: usize = 16;

impl DynamoStore {
    pub(super) async fn put_one(&self, commit: &str, put: Put) -> Result<(), StoreError> {
        let request = self
            .client
            .put_item()
            .table_name(self.physical(put.row.table))
            .condition_expression(condition(&put))
            .set_expression_attribute_values(condition_values(&put))
            .set_item(Some(to_attributes(put.item)))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        match request.send().await {
            Ok(_) => Ok(()),
            Err(error) => after_put(commit, put.key, &error),
        }
    }

    pub(super) async fn put_all(&self, commit: &str, puts: Vec<Put>) -> Result<(), StoreError> {
        let keys: Vec<Key> = puts.iter().map(|put| put.key.clone()).collect();
        let members = puts.into_iter().map(|put| self.member(put)).collect::<Result<Vec<_>, _>>()?;
        let request = self.client.transact_write_items().set_transact_items(Some(members));
        match request.client_request_token(token(commit)).send().await {
            Ok(_) => Ok(()),
            Err(error) => after_transaction(commit, &keys, &error),
        }
    }

    fn member(&self, put: Put) -> Result<TransactWriteItem, StoreError> {
        let request = PutRequest::builder()
            .table_name(self.physical(put.row.table))
            .condition_expression(condition(&put))
            .set_expression_attribute_values(condition_values(&put))
            .set_item(Some(to_attributes(put.item)))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .build()
            .map_err(|_| StoreError::Unavailable("request not built".to_owned()))?;
        Ok(TransactWriteItem::builder().put(request).build())
    }
}

fn condition(put: &Put) -> &'static str {
    if put.expected.is_some() { "v = :v" } else { "attribute_not_exists(pk)" }
}

fn condition_values(put: &Put) -> Option<Attributes> {
    let expected = put.expected?;
    Some([(":v".to_owned(), AttributeValue::N(expected.to_string()))].into_iter().collect())
}

/// A repeated request with this token is answered by the service as the first was, for ten minutes.
fn token(commit: &str) -> String {
    hex::encode(&Sha256::digest(commit.as_bytes())[..TOKEN_BYTES])
}

fn after_put(commit: &str, key: Key, error: &SdkError<PutItemError>) -> Result<(), StoreError> {
    match error.as_service_error() {
        Some(PutItemError::ConditionalCheckFailedException(failed)) if ours(commit, failed.item()) => Ok(()),
        Some(PutItemError::ConditionalCheckFailedException(_)) => Err(StoreError::Conflict { key: Some(key) }),
        // Somebody else's transaction is under way, and may yet fail: nothing is known of what is stored.
        Some(PutItemError::TransactionConflictException(_)) => Err(StoreError::Conflict { key: None }),
        Some(_) | None => Err(fault::of(error)),
    }
}

fn after_transaction(commit: &str, keys: &[Key], error: &SdkError<TransactWriteItemsError>) -> Result<(), StoreError> {
    let Some(TransactWriteItemsError::TransactionCanceledException(cancelled)) = error.as_service_error() else {
        return Err(fault::of(error));
    };
    cancelled_because(commit, keys, cancelled.cancellation_reasons())
}

/// Reasons come one per member, in their order.
fn cancelled_because(commit: &str, keys: &[Key], reasons: &[CancellationReason]) -> Result<(), StoreError> {
    let failed = |reason: &&CancellationReason| reason.code() == Some("ConditionalCheckFailed");
    // All or nothing: one row of this commit in the store means that all were written.
    if reasons.iter().filter(failed).any(|reason| ours(commit, reason.item.as_ref())) {
        return Ok(());
    }
    let at = |code: &str| reasons.iter().position(|reason| reason.code() == Some(code));
    if let Some(at) = at("ConditionalCheckFailed") {
        return Err(StoreError::Conflict { key: keys.get(at).cloned() });
    }
    // Somebody else's transaction is under way, and may yet fail: nothing is known of what is stored.
    if at("TransactionConflict").is_some() {
        return Err(StoreError::Conflict { key: None });
    }
    let real = reasons.iter().find(|reason| reason.code().is_some_and(|code| code != "None"));
    Err(match real.map(|reason| (reason.code().unwrap_or_default(), reason.message())) {
        Some(("ValidationError", message)) => fault::invalid(message),
        Some(("ItemCollectionSizeLimitExceeded", _)) => StoreError::TooLarge,
        Some((code, _)) => StoreError::Unavailable(code.to_owned()),
        None => StoreError::Unavailable("cancelled without a reason".to_owned()),
    })
}

fn ours(commit: &str, stored: Option<&Attributes>) -> bool {
    let written_by = stored.and_then(|item| item.get(WRITTEN_BY)).and_then(|value| value.as_s().ok());
    written_by.is_some_and(|id| id == commit)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reason(code: &str, writer: Option<&str>) -> CancellationReason {
        let item = writer.map(|id| [(WRITTEN_BY.to_owned(), AttributeValue::S(id.to_owned()))].into_iter().collect());
        CancellationReason::builder().code(code).set_item(item).build()
    }

    fn keys() -> Vec<Key> {
        ["a", "b", "c"].map(|name| Key::Control(name.to_owned())).to_vec()
    }

    fn conflict(at: usize) -> Result<(), StoreError> {
        Err(StoreError::Conflict { key: Some(keys()[at].clone()) })
    }

    #[test]
    fn one_row_of_ours_proves_the_whole_commit() {
        let failed = |writer| reason("ConditionalCheckFailed", writer);
        let because = |reasons: &[CancellationReason]| cancelled_because("mine", &keys(), reasons);
        assert_eq!(because(&[failed(Some("other")), failed(None), failed(Some("mine"))]), Ok(()));
        assert_eq!(because(&[reason("None", Some("mine")), failed(Some("other"))]), conflict(1));
        assert_eq!(because(&[reason("TransactionConflict", None), failed(None)]), conflict(1));
        assert_eq!(because(&[failed(None), reason("ThrottlingError", None)]), conflict(0));
    }

    #[test]
    fn without_a_reason_nothing_is_known() {
        let nothing = cancelled_because("mine", &keys(), &[reason("None", None)]);
        assert_eq!(nothing, Err(StoreError::Unavailable("cancelled without a reason".into())));
        let full = cancelled_because("mine", &keys(), &[reason("ItemCollectionSizeLimitExceeded", None)]);
        assert_eq!(full, Err(StoreError::TooLarge));
    }

    #[test]
    fn tokens_are_stable_and_short_enough() {
        assert_eq!(token("c-1"), token("c-1"));
        assert_ne!(token("c-1"), token("c-2"));
        assert_eq!(token(&"long".repeat(100)).len(), 32);
    }
}
