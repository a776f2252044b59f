//! What the SDK's errors mean to a caller. Texts of the service are dropped: they may quote a row.

use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};

use super::super::StoreError;

/// The meaning of any error that is not an answer to a condition.
pub(super) fn of<E: ProvideErrorMetadata, R>(error: &SdkError<E, R>) -> StoreError {
    match error.code() {
        Some("ValidationException") => invalid(error.message()),
        Some("IdempotentParameterMismatchException") => {
            StoreError::Corrupt("one commit id for two decisions".to_owned())
        }
        Some(code) => StoreError::Unavailable(code.to_owned()),
        None => StoreError::Unavailable(transport(error).to_owned()),
    }
}

/// A refused request: over a size limit, or one we should not have sent.
pub(super) fn invalid(message: Option<&str>) -> StoreError {
    let message = message.unwrap_or_default().to_ascii_lowercase();
    let too_large = message.contains("size") && (message.contains("exceed") || message.contains("maximum"));
    if too_large { StoreError::TooLarge } else { StoreError::Corrupt("refused as invalid".to_owned()) }
}

fn transport<E, R>(error: &SdkError<E, R>) -> &'static str {
    match error {
        SdkError::ConstructionFailure(_) => "request not built",
        SdkError::TimeoutError(_) => "timeout",
        SdkError::DispatchFailure(failure) if failure.is_timeout() => "connect timeout",
        SdkError::DispatchFailure(_) => "not reached",
        SdkError::ResponseError(_) => "unreadable answer",
        _ => "error without a code",
    }
}
