//! Numbers as JSON Schema sees them: by their mathematical value, whatever they are written as.

use std::{cmp::Ordering, fmt};

use serde_json::Number;

/// A number, exactly.
#[derive(Debug, Clone, Copy)]
pub(super) enum Num {
    /// Whole and within 128 bits.
    Whole(i128),
    /// Anything else: a fraction, or a float of more than 38 digits.
    Float(f64),
}

/// Floats below this are exact as `i128`.
const WHOLE: f64 = 1.0e38;

impl Num {
    pub(super) fn of(number: &Number) -> Self {
        if let Some(whole) = number.as_i64() {
            return Self::Whole(whole.into());
        }
        if let Some(whole) = number.as_u64() {
            return Self::Whole(whole.into());
        }
        // Without the feature `arbitrary_precision` a number is one of the three.
        let float = number.as_f64().unwrap_or_default();
        if float.fract() == 0.0 && float.abs() < WHOLE {
            #[expect(clippy::cast_possible_truncation, reason = "whole and below 2^127, as was just checked")]
            let whole = float as i128;
            return Self::Whole(whole);
        }
        Self::Float(float)
    }

    /// `1.0` is an integer, and so is `1e300`.
    pub(super) fn is_integer(self) -> bool {
        match self {
            Self::Whole(_) => true,
            Self::Float(float) => float.fract() == 0.0,
        }
    }

    pub(super) fn is_positive(self) -> bool {
        match self {
            Self::Whole(whole) => whole > 0,
            Self::Float(float) => float > 0.0,
        }
    }

    /// A number of things: whole, not negative, and not beyond what can be counted.
    pub(super) fn as_count(self) -> Option<usize> {
        match self {
            Self::Whole(whole) if whole >= 0 => Some(usize::try_from(whole).unwrap_or(usize::MAX)),
            Self::Float(float) if float >= WHOLE => Some(usize::MAX),
            _ => None,
        }
    }

    pub(super) fn compare(self, other: Self) -> Ordering {
        match (self, other) {
            (Self::Whole(one), Self::Whole(two)) => one.cmp(&two),
            (Self::Float(one), Self::Float(two)) => one.total_cmp(&two),
            (Self::Whole(whole), Self::Float(float)) => compare(whole, float),
            (Self::Float(float), Self::Whole(whole)) => compare(whole, float).reverse(),
        }
    }

    /// Whether it is a whole number of `divisor`s, by the decimal values that were written: 0.0075 is 75 times
    /// 0.0001.
    pub(super) fn is_multiple_of(self, divisor: Self) -> bool {
        if let (Self::Whole(one), Self::Whole(two)) = (self, divisor) {
            return two != 0 && one.checked_rem(two).is_none_or(|rest| rest == 0);
        }
        let (Some(one), Some(two)) = (self.decimal(), divisor.decimal()) else { return false };
        if one.digits == 0 {
            return true;
        }
        if two.digits == 0 {
            return false;
        }
        match one.exponent.checked_sub(two.exponent) {
            // one × 10^shift must be a multiple of two: by residues, as the number itself may be far too large.
            Some(shift) if shift >= 0 => {
                let power = power_of_ten(shift.unsigned_abs(), two.digits);
                multiply(one.digits % two.digits, power, two.digits) == 0
            }
            // one must be a multiple of two × 10^-shift, which has more digits than it before long.
            Some(shift) => 10_u128
                .checked_pow(shift.unsigned_abs())
                .and_then(|power| two.digits.checked_mul(power))
                .is_some_and(|divisor| one.digits % divisor == 0),
            None => false,
        }
    }

    /// Its absolute value in decimal digits.
    fn decimal(self) -> Option<Decimal> {
        match self {
            Self::Whole(whole) => Some(Decimal { digits: whole.unsigned_abs(), exponent: 0 }.shortened()),
            Self::Float(float) => {
                // The shortest digits that are this float: those that were written, up to 17.
                let text = format!("{:e}", float.abs());
                let (mantissa, exponent) = text.split_once('e')?;
                let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
                let digits = format!("{whole}{fraction}").parse().ok()?;
                let places = i32::try_from(fraction.len()).ok()?;
                Some(Decimal { digits, exponent: exponent.parse::<i32>().ok()? - places }.shortened())
            }
        }
    }
}

impl fmt::Display for Num {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole(whole) => whole.fmt(f),
            Self::Float(float) if float.abs() < 1e15 && float.abs() > 1e-5 => float.fmt(f),
            Self::Float(float) => write!(f, "{float:e}"),
        }
    }
}

fn compare(whole: i128, float: f64) -> Ordering {
    if float >= WHOLE {
        return Ordering::Less;
    }
    if float <= -WHOLE {
        return Ordering::Greater;
    }
    #[expect(clippy::cast_possible_truncation, reason = "below 2^127, as was just checked")]
    let floor = float.floor() as i128;
    // A float that is not a whole number lies above its floor.
    whole.cmp(&floor).then(if float.fract() == 0.0 { Ordering::Equal } else { Ordering::Less })
}

/// `digits × 10^exponent`.
#[derive(Debug, Clone, Copy)]
struct Decimal {
    digits: u128,
    exponent: i32,
}

impl Decimal {
    /// Without zeros at the end.
    fn shortened(mut self) -> Self {
        while self.digits != 0 && self.digits.is_multiple_of(10) {
            self.digits /= 10;
            self.exponent += 1;
        }
        self
    }
}

/// 10^`power` modulo `modulus`.
fn power_of_ten(power: u32, modulus: u128) -> u128 {
    let (mut result, mut base, mut left) = (1 % modulus, 10 % modulus, power);
    while left > 0 {
        if left & 1 == 1 {
            result = multiply(result, base, modulus);
        }
        base = multiply(base, base, modulus);
        left >>= 1;
    }
    result
}

/// `one × two` modulo `modulus`, without overflow.
fn multiply(mut one: u128, mut two: u128, modulus: u128) -> u128 {
    if let Some(product) = one.checked_mul(two) {
        return product % modulus;
    }
    let mut sum = 0_u128;
    one %= modulus;
    while two > 0 {
        if two & 1 == 1 {
            sum = add(sum, one, modulus);
        }
        one = add(one, one, modulus);
        two >>= 1;
    }
    sum
}

/// `one + two` modulo `modulus`; both are below it.
fn add(one: u128, two: u128, modulus: u128) -> u128 {
    let room = modulus - one;
    if two >= room { two - room } else { one + two }
}
