//! Same source, same inputs, same answers: same result, same fuel.

use std::sync::Arc;

use lua_wasm_host::{Invocation, Outcome};

use crate::support::{World, engine, script};

/// Touches what could differ: hashing, addresses, random numbers, floats, garbage, the clock.
const SCRIPT: &str = r"
local out = {}
for key in pairs{a = 1, b = 2, c = 3, [print] = 4, [{}] = 5, [1.5] = 6} do out[#out + 1] = tostring(key) end
for i = 1, 20 do out[#out + 1] = math.random(1000) end
math.randomseed()
for i = 1, 5 do out[#out + 1] = math.random(1000) end
for i = 1, 3000 do local _ = setmetatable({i}, {__gc = function() end}) end
out[#out + 1] = collectgarbage('count')
out[#out + 1] = os.clock()
out[#out + 1] = time.now()
out[#out + 1] = uuid.v4()
out[#out + 1] = string.format('%q', 0 / 0)
kv.set('a', out)
out[#out + 1] = #kv.get('a')
local words = {}
for word in ('the quick brown fox'):gmatch('%a+') do words[word] = true end
for word in pairs(words) do out[#out + 1] = word end
return out
";

async fn once(seed: u8) -> Outcome {
    let world = Arc::new(World::default());
    let invocation = Invocation { seed: [seed; 32], ..script(SCRIPT) };
    // 32 equal bytes: the halves of the seed must not cancel each other.
    let invocation = Invocation { seed: std::array::from_fn(|i| if i < 16 { seed } else { 7 }), ..invocation };
    engine().run(invocation, world.host_context()).await
}

#[tokio::test]
async fn same_seed_same_result_and_fuel() {
    let first = once(1).await;
    for _ in 0..3 {
        let again = once(1).await;
        assert_eq!(again.result, first.result);
        assert_eq!(again.usage.fuel, first.usage.fuel);
        assert_eq!(again.usage.memory_peak, first.usage.memory_peak);
    }
    assert!(first.result.is_ok(), "{:?}", first.result);
}

#[tokio::test]
async fn another_seed_other_numbers() {
    assert_ne!(once(1).await.result, once(2).await.result);
}

#[tokio::test]
async fn fuel_does_not_depend_on_what_runs_beside() {
    let alone = once(3).await.usage.fuel;
    let (a, b, c) = tokio::join!(once(3), once(4), once(3));
    assert_eq!(a.usage.fuel, alone);
    assert_eq!(c.usage.fuel, alone);
    assert!(b.result.is_ok());
}

#[tokio::test]
async fn the_engine_has_a_name() {
    let id = engine().id().to_string();
    assert_eq!(id.len(), 16);
    assert!(id.bytes().all(|byte| byte.is_ascii_hexdigit()));
}
