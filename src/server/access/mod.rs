//! Who may connect, and who may ask: TLS, client certificates, users with passwords, and the rate of requests, for both
//! listeners. What the web configuration file says is read again when it, or a file it names, has changed. No protocol is
//! spoken here: the listeners ask, and tell their clients.

/// The file in force, and the door that listeners ask.
pub mod door;
/// Settings to what TLS needs.
mod tls;
/// The certificates of clients.
mod clients;
/// The parts of a certificate that are looked at.
mod x509;
/// Passwords against what is kept of them, with what is known already.
mod passwords;
/// Knowing a password without telling it.
pub mod scram;
/// What binds a login to its TLS.
mod binding;
/// Who guesses waits.
mod brake;
/// How often requests may come.
mod rate;
/// What a connection shows of its client.
pub mod shown;
/// A socket with TLS or without.
pub mod stream;
