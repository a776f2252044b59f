//! Toss's refusals: HTTP status, code and the Korean message, as its tables have them.
use serde::{Deserialize, Serialize};

/// An error answer `{code, message}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    pub status: u16,
    pub code: &'static str,
    pub message: &'static str,
}

impl Refusal {
    /// The JSON on the wire.
    pub fn body(&self) -> String {
        serde_json::json!({ "code": self.code, "message": self.message }).to_string()
    }
}

/// Why a stored payment failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    pub code: String,
    pub message: String,
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self { code: refusal.code.to_owned(), message: refusal.message.to_owned() }
    }
}

/// The refusal with this code, if Toss has one.
pub fn find(code: &str) -> Option<Refusal> {
    ALL.iter().find(|refusal| refusal.code == code).copied()
}

macro_rules! refusals {
    ($($status:literal $code:ident $message:literal;)*) => {
        $(pub const $code: Refusal = Refusal { status: $status, code: stringify!($code), message: $message };)*
        const ALL: &[Refusal] = &[$($code),*];
    };
}

refusals! {
    400 ALREADY_CANCELED_PAYMENT "이미 취소된 결제 입니다.";
    400 ALREADY_PROCESSED_PAYMENT "이미 처리된 결제 입니다.";
    400 ALREADY_REMOVED_BILLING_KEY "이미 삭제된 빌링키입니다";
    400 BELOW_MINIMUM_AMOUNT "신용카드는 결제금액이 100원 이상, 계좌는 200원이상부터 결제가 가능합니다.";
    400 BELOW_ZERO_AMOUNT "금액은 0보다 커야 합니다.";
    400 CARD_PROCESSING_ERROR "카드사에서 오류가 발생했습니다.";
    400 DUPLICATED_ORDER_ID "이미 승인 및 취소가 진행된 중복된 주문번호 입니다. 다른 주문번호로 진행해주세요.";
    400 DUPLICATED_REQUEST "중복된 요청입니다.";
    400 EXCEED_MAX_AMOUNT "거래금액 한도를 초과했습니다.";
    400 EXCEED_MAX_DAILY_PAYMENT_COUNT "하루 결제 가능 횟수를 초과했습니다.";
    400 EXCEED_MAX_PAYMENT_AMOUNT "하루 결제 가능 금액을 초과했습니다.";
    400 EXCEED_UNKNOWN_CASE "한도 초과 되었습니다.";
    400 INVALID_API_KEY "잘못된 시크릿키 연동 정보 입니다.";
    400 INVALID_BILL_KEY_REQUEST "빌링키 인증이 완료되지 않았거나 유효하지 않은 빌링 거래 건입니다.";
    400 INVALID_CARD_EXPIRATION "카드 정보를 다시 확인해주세요. (유효기간)";
    400 INVALID_CARD_LOST_OR_STOLEN "분실 혹은 도난 카드입니다.";
    400 INVALID_CARD_NUMBER "카드번호를 다시 확인해주세요.";
    400 INVALID_CUSTOMER_KEY "`customerKey`는 영문 대소문자, 숫자, 특수문자 -, _, =, ., @ 로 2자 이상 255자 이하여야 합니다.";
    400 INVALID_DATE "날짜 데이터가 잘못 되었습니다.";
    400 INVALID_EMAIL "이메일 주소 형식에 맞지 않습니다.";
    400 INVALID_IDEMPOTENCY_KEY "멱등키는 300자 이하여야 합니다.";
    400 INVALID_ORDER_ID "`orderId`는 영문 대소문자, 숫자, 특수문자(-, _) 만 허용합니다. 6자 이상 64자 이하여야 합니다.";
    400 INVALID_ORDER_NAME "주문 이름은 100자 이하여야 합니다.";
    400 INVALID_REJECT_CARD "카드 사용이 거절되었습니다. 카드사 문의가 필요합니다.";
    400 INVALID_REQUEST "잘못된 요청입니다.";
    400 INVALID_REQUIRED_PARAM "필수 파라미터가 누락되었습니다.";
    400 INVALID_STOPPED_CARD "정지된 카드 입니다.";
    400 INVALID_TEST_CODE "유효하지 않은 테스트 코드입니다.";
    400 MAINTAINED_METHOD "현재 점검 중 입니다.";
    400 NOT_AVAILABLE_PAYMENT "결제가 불가능한 시간대입니다.";
    400 NOT_MATCHES_CUSTOMER_KEY "빌링 인증 고객키와 결제 요청 고객키가 일치하지 않습니다.";
    400 NOT_MATCHES_REFUNDABLE_AMOUNT "잔액 결과가 일치하지 않습니다.";
    400 NOT_REGISTERED_CARD_COMPANY "카드를 사용 등록 후 이용해주세요.";
    400 NOT_SUPPORTED_CARD_TYPE "지원되지 않는 카드 종류입니다.";
    400 NOT_SUPPORTED_METHOD "지원되지 않는 결제 수단입니다.";
    400 PROVIDER_ERROR "일시적인 오류가 발생했습니다. 잠시 후 다시 시도해주세요.";
    400 REFUND_REJECTED "환불이 거절됐습니다. 결제사에 문의 부탁드립니다.";
    400 REQUIRED_AMOUNT "금액 값이 필수입니다.";
    401 UNAUTHORIZED_KEY "인증되지 않은 시크릿 키 혹은 클라이언트 키 입니다.";
    403 EXCEED_MAX_AUTH_COUNT "최대 인증 횟수를 초과했습니다. 카드사로 문의해주세요.";
    403 EXCEED_MAX_ONE_DAY_AMOUNT "일일 한도를 초과했습니다.";
    403 FDS_ERROR "위험 거래로 판단되어 결제가 거절되었습니다.";
    403 FORBIDDEN_CONSECUTIVE_REQUEST "반복적인 요청은 허용되지 않습니다. 잠시 후 다시 시도해주세요.";
    403 FORBIDDEN_REQUEST "허용되지 않은 요청입니다.";
    403 INCORRECT_BASIC_AUTH_FORMAT "잘못된 요청입니다. ':' 를 포함해 인코딩해주세요.";
    403 NOT_ALLOWED_PARTIAL_REFUND "에스크로 주문, 현금 카드 결제 등의 사유로 부분 환불이 불가합니다.";
    403 NOT_CANCELABLE_AMOUNT "취소 할 수 없는 금액 입니다.";
    403 NOT_CANCELABLE_PAYMENT "취소 할 수 없는 결제 입니다.";
    403 REJECT_ACCOUNT_PAYMENT "잔액부족으로 결제에 실패했습니다.";
    403 REJECT_CARD_COMPANY "결제 승인이 거절되었습니다.";
    403 REJECT_CARD_PAYMENT "한도초과 혹은 잔액부족으로 결제에 실패했습니다.";
    404 NOT_FOUND "존재하지 않는 정보 입니다.";
    404 NOT_FOUND_BILLING "존재하지 않는 빌링 결제 인증 정보 입니다.";
    404 NOT_FOUND_HTTP_METHOD "존재하지 않는 요청 방식입니다.";
    404 NOT_FOUND_MERCHANT "존재하지 않는 상점 정보 입니다.";
    404 NOT_FOUND_PAYMENT "존재하지 않는 결제 정보 입니다.";
    409 IDEMPOTENT_REQUEST_PROCESSING "이전 멱등 요청이 처리중입니다.";
    429 TOO_MANY_REQUESTS "요청이 너무 많습니다. 잠시 후 다시 시도해주세요.";
    500 COMMON_ERROR "일시적인 오류가 발생했습니다. 잠시 후 다시 시도해주세요.";
    500 FAILED_CARD_COMPANY_RESPONSE "카드사에서 에러가 발생했습니다. 잠시 후 다시 시도해 주세요.";
    500 FAILED_DB_PROCESSING "잘못된 요청 값으로 처리 중 DB 에러가 발생했습니다.";
    500 FAILED_INTERNAL_SYSTEM_PROCESSING "내부 시스템 처리 작업이 실패했습니다. 잠시 후 다시 시도해주세요.";
    500 FAILED_METHOD_HANDLING "결제 중 선택한 결제수단 처리에 일시적인 오류가 발생했습니다.";
    500 FAILED_PAYMENT_INTERNAL_SYSTEM_PROCESSING "결제가 완료되지 않았어요. 다시 시도해주세요.";
    500 UNKNOWN_PAYMENT_ERROR "결제에 실패했어요. 같은 문제가 반복된다면 은행이나 카드사로 문의해주세요.";
}
