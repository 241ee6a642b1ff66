//! Calls of the guest through the door: what each costs, and when the sandbox returns to its executor.

use std::time::{Duration, Instant};

use wasmtime::{Caller, Linker, Trap};

use super::{GuestEnd, MAX_FAILURE, SandboxState, YieldClock};
use crate::ErrorCode;
use crate::dispatch::Answer;
use crate::engine::{INSTRUCTIONS_PER_FUEL, YIELD_FUEL};
use crate::wire::op;

/// Fuel that a call through the door costs, besides one unit for each byte it carries.
const CALL_FUEL: u64 = 2_000;

/// Fuel that throwing an exception costs: about the time it takes the engine, in nanoseconds.
const THROW_FUEL: u64 = 3_000;

/// Fuel that a byte of randomness costs: an executor derives it with a hash.
const RANDOM_BYTE_FUEL: u64 = 5;

/// Fuel that a look into the time zone database costs.
const ZONE_FUEL: u64 = 3_000;

/// How long a sandbox runs between two returns to its executor if it makes calls meanwhile, whatever
/// fuel says of it: fuel is not quite time.
const POLL_TIME: Duration = Duration::from_millis(2);

/// The longest name of a module that is looked up.
const MAX_MODULE_NAME: u32 = 4 * 1024;

/// Adds the door to what a guest can import.
pub(crate) fn define_host_imports(linker: &mut Linker<SandboxState>) -> wasmtime::Result<()> {
    linker.func_wrap_async(
        "restroy",
        "door",
        |caller: Caller<'_, SandboxState>,
         (op, head, head_len, body, body_len, answer, capacity): (u32, u32, u32, u32, u32, u32, u32)| {
            let call = GuestCall { op, head: (head, head_len), body: (body, body_len), answer: (answer, capacity) };
            Box::new(call.serve(caller))
        },
    )?;
    Ok(())
}

/// One call of the guest: places and lengths in its memory.
struct GuestCall {
    op: u32,
    head: (u32, u32),
    body: (u32, u32),
    answer: (u32, u32),
}

impl GuestCall {
    async fn serve(self, mut caller: Caller<'_, SandboxState>) -> wasmtime::Result<i64> {
        charge(&mut caller, if self.op == op::THROW { THROW_FUEL } else { CALL_FUEL })?;
        pause(&mut caller).await?;
        match self.op {
            op::THROW => return Ok(0),
            op::FUEL => {
                let used = caller.data().limits.fuel.saturating_sub(caller.get_fuel()? / INSTRUCTIONS_PER_FUEL);
                return Ok(i64::try_from(used)?);
            }
            op::TAKE => {
                let waiting = std::mem::take(&mut caller.data_mut().waiting);
                return self.answer(&mut caller, waiting);
            }
            op::INVOCATION => {
                let invocation = std::mem::take(&mut caller.data_mut().invocation);
                return self.answer(&mut caller, invocation);
            }
            op::MODULE => {
                let name = read(&mut caller, (self.head.0, self.head.1.min(MAX_MODULE_NAME)))?;
                return match caller.data_mut().host.call(op::MODULE, &name, Vec::new()).await {
                    Ok(mut answer) => {
                        // The guest takes the text alone.
                        answer.drain(..Answer::BODY.min(answer.len()));
                        charge(&mut caller, answer.len() as u64)?;
                        self.answer(&mut caller, answer)
                    }
                    Err(why) => Err(caller.data_mut().stop(why)),
                };
            }
            op::OUT_OF_MEMORY => return Err(caller.data_mut().end_at_limit(ErrorCode::MemoryLimit)),
            op::DONE => {
                if u64::from(self.body.1) > caller.data().limits.output_bytes {
                    return Err(caller.data_mut().end_at_limit(ErrorCode::OutputLimit));
                }
                charge(&mut caller, u64::from(self.body.1))?;
                let result = read(&mut caller, self.body)?;
                caller.data_mut().end = Some(GuestEnd::Value(result));
                return Ok(0);
            }
            op::FAILED => {
                if self.head.1 > MAX_FAILURE {
                    wasmtime::bail!("an error that is too long");
                }
                charge(&mut caller, u64::from(self.head.1))?;
                let failure = read(&mut caller, self.head)?;
                caller.data_mut().end = Some(GuestEnd::Failure(failure));
                return Ok(0);
            }
            _ => {}
        }
        let carried = u64::from(self.head.1) + u64::from(self.body.1);
        charge(&mut caller, carried)?;
        match self.op {
            op::NOW => caller.data().host.now().map_err(|why| caller.data_mut().stop(why)),
            op::RANDOM => self.random(&mut caller),
            op::LOG => {
                // Bounded before it is copied.
                if u64::from(self.body.1) > caller.data().limits.log_bytes {
                    return Err(caller.data_mut().end_at_limit(ErrorCode::LogLimit));
                }
                let level = read(&mut caller, (self.head.0, self.head.1.min(1)))?;
                let text = read(&mut caller, self.body)?;
                match caller.data_mut().host.log(level.first().copied(), &text) {
                    Ok(()) => Ok(0),
                    Err(why) => Err(caller.data_mut().stop(why)),
                }
            }
            _ => {
                if self.op == op::ZONE {
                    charge(&mut caller, ZONE_FUEL)?;
                }
                let bound = caller.data().limits.host_call_bytes;
                let answer = if carried > bound {
                    Ok(Answer::too_large(carried, bound).into_bytes())
                } else {
                    let head = read(&mut caller, self.head)?;
                    let body = read(&mut caller, self.body)?;
                    caller.data_mut().host.call(self.op, &head, body).await
                };
                match answer {
                    Ok(bytes) => {
                        charge(&mut caller, bytes.len() as u64)?;
                        self.answer(&mut caller, bytes)
                    }
                    Err(why) => Err(caller.data_mut().stop(why)),
                }
            }
        }
    }

    /// Writes the answer, or keeps it until it is taken. Gives its length.
    fn answer(&self, caller: &mut Caller<'_, SandboxState>, bytes: Vec<u8>) -> wasmtime::Result<i64> {
        let length = i64::try_from(bytes.len())?;
        if bytes.len() > self.answer.1 as usize {
            caller.data_mut().waiting = bytes;
            return Ok(length);
        }
        let state = caller.data_mut();
        state.bytes_in = state.bytes_in.saturating_add(bytes.len() as u64);
        let memory = state.memory()?;
        memory.write(caller, self.answer.0 as usize, &bytes)?;
        Ok(length)
    }

    fn random(&self, caller: &mut Caller<'_, SandboxState>) -> wasmtime::Result<i64> {
        let length = self.answer.1;
        if u64::from(length) > caller.data().limits.host_call_bytes {
            wasmtime::bail!("asked for too much randomness");
        }
        charge(caller, RANDOM_BYTE_FUEL * u64::from(length))?;
        let memory = caller.data().memory()?;
        let (data, state) = memory.data_and_store_mut(caller);
        let start = self.answer.0 as usize;
        let buffer = data
            .get_mut(start..start + length as usize)
            .ok_or_else(|| wasmtime::Error::msg("a call with a place outside the memory"))?;
        match state.host.random(buffer) {
            Ok(()) => Ok(i64::from(length)),
            Err(why) => Err(state.stop(why)),
        }
    }
}

/// Copies from the guest's memory. The caller has bounded the length.
fn read(caller: &mut Caller<'_, SandboxState>, (start, length): (u32, u32)) -> wasmtime::Result<Vec<u8>> {
    let memory = caller.data().memory()?;
    let (data, state) = memory.data_and_store_mut(caller);
    let start = start as usize;
    let bytes = data
        .get(start..start + length as usize)
        .ok_or_else(|| wasmtime::Error::msg("a call with a place outside the memory"))?
        .to_vec();
    state.bytes_out = state.bytes_out.saturating_add(u64::from(length));
    Ok(bytes)
}

/// Takes fuel for work of the host.
fn charge(caller: &mut Caller<'_, SandboxState>, fuel: u64) -> wasmtime::Result<()> {
    let left = caller.get_fuel()?;
    let fuel = fuel.saturating_mul(INSTRUCTIONS_PER_FUEL);
    caller.set_fuel(left.saturating_sub(fuel))?;
    if left < fuel { Err(Trap::OutOfFuel.into()) } else { Ok(()) }
}

/// Returns to the executor if the sandbox has run for long enough, or is cancelled: whoever polls it
/// then looks at its limits.
async fn pause(caller: &mut Caller<'_, SandboxState>) -> wasmtime::Result<()> {
    let left = caller.get_fuel()?;
    let state = caller.data_mut();
    let fuel = state.pace.fuel.saturating_sub(left);
    if fuel >= YIELD_FUEL * INSTRUCTIONS_PER_FUEL || state.pace.time.elapsed() >= POLL_TIME || state.host.is_cancelled()
    {
        caller.data().host.pause().await;
        caller.data_mut().pace = YieldClock { fuel: left, time: Instant::now() };
    }
    Ok(())
}
