//! The memory of answers under way: a budget of bytes for all of them, of which one account has a share.
//!
//! Whoever does not read keeps an answer in memory. So the bytes of an answer are reserved before it is built, or
//! before it is streamed in pieces, and are given back when they have left the process or the connection has ended:
//! the reservation lives in the very bytes that the server holds. Small answers have a reserve of their own: they
//! are served while large ones are refused.

use std::{
    collections::HashMap,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    body::{Body, Bytes, HttpBody},
    response::Response,
};
use http_body::{Frame, SizeHint};
use restroy_sdk::{ids::UserId, problem::ProblemCode};
use tokio::sync::Notify;

use crate::error::{ApiError, ApiResult};

/// Up to here an answer is small, in bytes.
pub const SMALL_RESPONSE: usize = 32 * 1024;
/// The reserve for small answers, as a part of the budget, and beside it.
const SMALL_PART: usize = 4;
/// What one account may hold, as a part of the budget: a single answer may have more.
const ACCOUNT_PART: usize = 16;
/// How many bytes go to the connection at once.
const SLICE_BYTES: usize = 64 * 1024;
/// What the server holds at most of a streamed answer, beside the piece at hand, in bytes.
const CONNECTION_BYTES: usize = 512 * 1024;
/// After how long it is worth to try again.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// The budget of a control-plane's answers. Cheap to clone.
#[derive(Debug, Clone)]
pub struct ResponseBudget(Arc<BudgetState>);

#[derive(Debug)]
struct BudgetState {
    bytes: usize,
    held: Mutex<Reservations>,
    /// Something was given back.
    freed: Notify,
}

#[derive(Debug, Default)]
struct Reservations {
    large: usize,
    small: usize,
    /// Of `large`, by account. Who holds nothing is not in it.
    accounts: HashMap<UserId, usize>,
}

/// Bytes of the budget, given back when this is dropped.
#[derive(Debug)]
pub struct Reservation {
    budget: Arc<BudgetState>,
    bytes: usize,
    small: bool,
    account: Option<UserId>,
}

/// Why nothing can be reserved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum BudgetExhausted {
    Account,
    All,
}

impl ResponseBudget {
    /// So many bytes for all answers together, and a quarter beside for small ones.
    pub fn new(bytes: usize) -> Self {
        Self(Arc::new(BudgetState { bytes: bytes.max(1), held: Mutex::default(), freed: Notify::new() }))
    }

    /// How many bytes are reserved.
    pub fn reserved(&self) -> usize {
        let held = self.0.lock();
        held.large + held.small
    }

    /// Reserves what an answer to an account takes while it is built and sent, in bytes. 429 when the account holds
    /// its share already, 503 when all of them together hold the budget; both with `Retry-After`.
    pub fn reserve(&self, account: UserId, bytes: usize) -> ApiResult<Reservation> {
        self.try_reserve(Some(account), bytes).map_err(exhausted_error)
    }

    /// The same for an answer that is streamed in pieces of so many bytes.
    pub fn reserve_stream(&self, account: UserId, piece: usize) -> ApiResult<Reservation> {
        self.reserve(account, piece + CONNECTION_BYTES)
    }

    /// The same, waiting until there is room.
    pub(crate) async fn reserve_when_free(&self, account: UserId, bytes: usize) -> Reservation {
        loop {
            // Before it is looked: what is given back from here on is noticed.
            let freed = self.0.freed.notified();
            if let Ok(reserved) = self.try_reserve(Some(account), bytes) {
                return reserved;
            }
            freed.await;
        }
    }

    /// Accounts for an answer that is built already, and refuses it where there is no room for it.
    pub(crate) async fn account_for(&self, account: Option<UserId>, response: Response) -> Response {
        let size = response.body().size_hint().exact().and_then(|size| usize::try_from(size).ok());
        if response.extensions().get::<Accounted>().is_some() || size.is_none_or(|size| size == 0) {
            return response;
        }
        let bytes = size.unwrap_or(0);
        let reserved =
            if bytes <= SMALL_RESPONSE { self.try_reserve_small(bytes) } else { self.try_reserve(account, bytes) };
        let reserved = match reserved {
            Ok(reserved) => reserved,
            Err(full) => return axum::response::IntoResponse::into_response(exhausted_error(full)),
        };
        let (parts, body) = response.into_parts();
        match axum::body::to_bytes(body, bytes).await {
            Ok(bytes) => Response::from_parts(parts, reserved.into_body(bytes)),
            // Of a body whose length is known before it is there.
            Err(error) => Response::from_parts(parts, Body::new(BrokenBody(Some(error)))),
        }
    }

    fn try_reserve(&self, account: Option<UserId>, bytes: usize) -> Result<Reservation, BudgetExhausted> {
        let mut held = self.0.lock();
        // More than there is at all only goes out alone.
        if held.large > 0 && held.large + bytes > self.0.bytes {
            return Err(BudgetExhausted::All);
        }
        if let Some(account) = account {
            let own = held.accounts.get(&account).copied().unwrap_or(0);
            if own > 0 && own + bytes > self.0.bytes / ACCOUNT_PART {
                return Err(BudgetExhausted::Account);
            }
            held.accounts.insert(account, own + bytes);
        }
        held.large += bytes;
        drop(held);
        Ok(Reservation { budget: Arc::clone(&self.0), bytes, small: false, account })
    }

    fn try_reserve_small(&self, bytes: usize) -> Result<Reservation, BudgetExhausted> {
        let mut held = self.0.lock();
        if held.small > 0 && held.small + bytes > self.0.bytes / SMALL_PART {
            return Err(BudgetExhausted::All);
        }
        held.small += bytes;
        drop(held);
        Ok(Reservation { budget: Arc::clone(&self.0), bytes, small: true, account: None })
    }
}

impl BudgetState {
    fn lock(&self) -> MutexGuard<'_, Reservations> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn exhausted_error(full: BudgetExhausted) -> ApiError {
    let refused = match full {
        BudgetExhausted::All => {
            ApiError::with(ProblemCode::Unavailable, "Too many large responses in progress. Try again shortly.")
        }
        BudgetExhausted::Account => ApiError::with(
            ProblemCode::TooManyConcurrentRequests,
            "Responses to your account already use their share of memory. Read them, then try again.",
        ),
    };
    refused.retry_after(RETRY_AFTER)
}

/// Says of an answer, as an extension, that its body is accounted for, or takes no memory of its own: it is the
/// same bytes for everybody.
#[derive(Debug, Clone, Copy)]
pub struct Accounted;

impl Reservation {
    /// Reserves so many bytes more; fails as [`ResponseBudget::reserve`] does.
    pub fn extend(&mut self, bytes: usize) -> ApiResult<()> {
        let mut held = self.budget.lock();
        if held.large > self.bytes && held.large + bytes > self.budget.bytes {
            return Err(exhausted_error(BudgetExhausted::All));
        }
        if let Some(account) = self.account {
            let own = held.accounts.get(&account).copied().unwrap_or(0);
            if own > self.bytes && own + bytes > self.budget.bytes / ACCOUNT_PART {
                return Err(exhausted_error(BudgetExhausted::Account));
            }
            held.accounts.insert(account, own + bytes);
        }
        held.large += bytes;
        drop(held);
        self.bytes += bytes;
        Ok(())
    }

    /// An answer of these bytes, which keeps of the reservation what they take.
    pub fn response(mut self, bytes: Vec<u8>) -> ApiResult<Response> {
        match bytes.len().checked_sub(self.bytes) {
            Some(more) => self.extend(more)?,
            None => self.release(self.bytes - bytes.len()),
        }
        let mut response = Response::new(self.into_body(bytes.into()));
        response.extensions_mut().insert(Accounted);
        Ok(response)
    }

    /// These bytes, which hold a reservation until they are gone.
    pub fn chunk(self: &Arc<Self>, bytes: Vec<u8>) -> Bytes {
        Bytes::from_owner(ReservedBytes { bytes: bytes.into(), _reserved: Arc::clone(self) })
    }

    fn into_body(self, bytes: Bytes) -> Body {
        let held = Bytes::from_owner(ReservedBytes { bytes, _reserved: Arc::new(self) });
        Body::new(SlicedBody(held))
    }

    fn release(&mut self, bytes: usize) {
        let bytes = bytes.min(self.bytes);
        self.bytes -= bytes;
        let mut held = self.budget.lock();
        if self.small {
            held.small -= bytes;
        } else {
            held.large -= bytes;
        }
        if let Some(account) = self.account
            && let Some(own) = held.accounts.get_mut(&account)
        {
            *own -= bytes;
            if *own == 0 {
                held.accounts.remove(&account);
            }
        }
        drop(held);
        self.budget.freed.notify_waiters();
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.release(self.bytes);
    }
}

/// Bytes with their reservation.
struct ReservedBytes {
    bytes: Bytes,
    _reserved: Arc<Reservation>,
}

impl AsRef<[u8]> for ReservedBytes {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// A body that goes out slice by slice, so that the connection never copies all of it.
struct SlicedBody(Bytes);

impl HttpBody for SlicedBody {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if self.0.is_empty() {
            return Poll::Ready(None);
        }
        let length = self.0.len().min(SLICE_BYTES);
        Poll::Ready(Some(Ok(Frame::data(self.0.split_to(length)))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0.len() as u64)
    }
}

/// A body that breaks off.
struct BrokenBody(Option<axum::Error>);

impl HttpBody for BrokenBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        Poll::Ready(self.0.take().map(Err))
    }
}

#[cfg(test)]
mod tests {
    use restroy_sdk::time::Ambient;

    use super::*;

    fn account() -> UserId {
        UserId(Ambient::system().uuid())
    }

    #[test]
    fn what_is_reserved_is_given_back_and_no_account_has_it_all() {
        let answers = ResponseBudget::new(1_600);
        let ann = account();
        let first = answers.reserve(ann, 60).unwrap();
        assert_eq!(answers.reserve(ann, 41).unwrap_err().code(), ProblemCode::TooManyConcurrentRequests);
        let second = answers.reserve(ann, 40).unwrap();
        // One answer may be larger than a share, but not beside others.
        let large = answers.reserve(account(), 1_500).unwrap();
        assert_eq!(answers.reserve(account(), 1).unwrap_err().code(), ProblemCode::Unavailable);
        assert_eq!(answers.reserved(), 1_600);
        drop((first, large));
        assert_eq!(answers.reserved(), 40);
        drop(second);
        assert_eq!((answers.reserved(), answers.0.lock().accounts.len()), (0, 0));
        assert!(answers.reserve(ann, 5_000).is_ok(), "alone");
    }

    #[tokio::test]
    async fn bytes_hold_their_reservation_until_the_last_of_them_is_gone() {
        let answers = ResponseBudget::new(10 * SLICE_BYTES);
        let mut reserved = answers.reserve(account(), 100).unwrap();
        reserved.extend(3 * SLICE_BYTES).unwrap();
        let response = reserved.response(vec![1; 2 * SLICE_BYTES]).unwrap();
        assert_eq!(answers.reserved(), 2 * SLICE_BYTES);
        // Accounted for once.
        let response = answers.account_for(None, response).await;
        assert_eq!(answers.reserved(), 2 * SLICE_BYTES);
        let mut body = response.into_body();
        let slice = std::future::poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await.unwrap().unwrap();
        drop(body);
        assert_eq!(answers.reserved(), 2 * SLICE_BYTES, "a slice keeps all of it");
        drop(slice);
        assert_eq!(answers.reserved(), 0);
    }

    #[tokio::test]
    async fn small_answers_are_served_while_large_ones_are_refused() {
        let answers = ResponseBudget::new(8 * SMALL_RESPONSE);
        let held = answers.reserve(account(), 8 * SMALL_RESPONSE).unwrap();
        let large = answers.account_for(None, Response::new(Body::from(vec![0; SMALL_RESPONSE + 1]))).await;
        assert_eq!(large.status(), 503);
        assert_eq!(large.headers()["retry-after"], "1");
        let small = answers.account_for(None, Response::new(Body::from(vec![0; SMALL_RESPONSE]))).await;
        assert_eq!(small.status(), 200);
        assert_eq!(answers.reserved(), 9 * SMALL_RESPONSE);
        drop(small);
        let waiting = answers.reserve_when_free(account(), 1);
        let (_, ()) = tokio::join!(waiting, async { drop(held) });
        assert_eq!(answers.reserved(), 0);
    }
}
