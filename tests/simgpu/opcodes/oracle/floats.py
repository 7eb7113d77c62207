"""Binary floating point as exact rationals: every format, rounding and flush of PTX."""

from fractions import Fraction
from math import isqrt


class Format:
    """An IEEE 754 interchange format."""

    def __init__(self, name, exponent_bits, fraction_bits):
        self.name = name
        self.bits = 1 + exponent_bits + fraction_bits
        self.fraction_bits = fraction_bits
        self.bias = (1 << (exponent_bits - 1)) - 1
        self.exponent_mask = (1 << exponent_bits) - 1
        self.sign_bit = 1 << (self.bits - 1)
        self.infinity = self.exponent_mask << fraction_bits
        self.largest = self.infinity - 1
        self.smallest_normal = 1 << fraction_bits
        self.quantum = Fraction(2) ** (1 - self.bias - fraction_bits)
        # The NaN that PTX calls canonical: all ones but the sign.
        self.canonical_nan = self.sign_bit - 1

    def is_nan(self, bits):
        return (bits & ~self.sign_bit) > self.infinity

    def is_infinite(self, bits):
        return (bits & ~self.sign_bit) == self.infinity

    def is_subnormal(self, bits):
        return 0 < (bits & ~self.sign_bit) < self.smallest_normal

    def negative(self, bits):
        return bool(bits & self.sign_bit)

    def flush(self, bits):
        """A subnormal becomes the zero of its sign."""
        return bits & self.sign_bit if self.is_subnormal(bits) else bits

    def value(self, bits):
        """The exact value of finite bits."""
        magnitude = bits & ~self.sign_bit
        exponent = magnitude >> self.fraction_bits
        fraction = magnitude & (self.smallest_normal - 1)
        if exponent:
            fraction |= self.smallest_normal
        else:
            exponent = 1
        value = fraction * self.quantum * 2 ** (exponent - 1)
        return -value if self.negative(bits) else value

    def round(self, value, rounding, zero_negative=False, saturate_finite=False):
        """The bits of an exact value; `zero_negative` is the sign of an exact zero."""
        if value == 0:
            return self.sign_bit if zero_negative else 0
        sign = self.sign_bit if value < 0 else 0
        magnitude = abs(value)
        # The exponent of the quantum that this value is a multiple of after rounding.
        exponent = magnitude.numerator.bit_length() - magnitude.denominator.bit_length()
        if Fraction(2) ** exponent > magnitude:
            exponent -= 1
        exponent = max(exponent, 1 - self.bias)
        quantum = Fraction(2) ** (exponent - self.fraction_bits)
        units = magnitude / quantum
        whole = units.numerator // units.denominator
        rest = units - whole
        up = {
            "rn": rest > Fraction(1, 2) or (rest == Fraction(1, 2) and whole & 1),
            "rna": rest >= Fraction(1, 2),
            "rz": False,
            "rm": rest > 0 and sign != 0,
            "rp": rest > 0 and sign == 0,
        }[rounding]
        whole += bool(up)
        # A carry into the next binade comes out right: the fields are adjacent.
        bits = ((exponent + self.bias - 1) << self.fraction_bits) + whole
        if bits >= self.infinity:
            away = {"rn": True, "rna": True, "rz": False, "rm": sign != 0, "rp": sign == 0}[rounding]
            bits = self.infinity if away and not saturate_finite else self.largest
        return sign | bits

    def of(self, number):
        """The bits nearest to a Python number."""
        return self.round(Fraction(number), "rn")

    def tiny(self, value):
        """Whether an exact value is where flushing before and after rounding could differ."""
        return self.value(self.smallest_normal - 1) < abs(value) < self.value(self.smallest_normal)


F16 = Format("f16", 5, 10)
BF16 = Format("bf16", 8, 7)
TF32 = Format("tf32", 8, 10)
F32 = Format("f32", 8, 23)
F64 = Format("f64", 11, 52)
E4M3 = Format("e4m3", 4, 3)
E5M2 = Format("e5m2", 5, 2)


def square_root(value, rounding, format):
    """The root of a positive rational, rounded once: enough bits, and a sticky bit below them."""
    shift = 2 * (100 + value.denominator.bit_length())
    scaled = (value.numerator << shift) // value.denominator
    root = isqrt(scaled)
    exact = root * root == scaled and scaled * value.denominator == value.numerator << shift
    approximation = Fraction(2 * root + (not exact), 2) / (1 << (shift // 2))
    return format.round(approximation, rounding)
