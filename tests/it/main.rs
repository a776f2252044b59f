//! Store and adapter suites.
mod gateway_contract;
mod gateway_house;
mod gateway_refunds;
mod gateway_registration;
mod gateway_script;
mod gateway_transport;
mod gateway_webhook;
