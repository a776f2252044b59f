//! Everything a function is assembled from. Directions: `web, jobs -> usecase -> {gateway, store} -> domain`;
//! gateway and store never see each other. Only `store` names the DynamoDB SDK, only `gateway` and `notices` name the
//! HTTP client, only `config` reads the environment and builds clients; nothing here reads a clock or makes randomness.

pub mod api;
pub mod auth;
pub mod config;
pub mod crypto;
pub mod gateway;
pub mod jobs;
pub mod notices;
pub mod ports;
pub mod secrets;
pub mod store;
pub mod tax_sandbox;
pub mod telemetry;
pub mod text;
pub mod usecase;
pub mod web;

pub use domain;
