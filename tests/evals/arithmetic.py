"Questions for a calculator, about nothing or a handful of numbers."
import math
from datetime import date, timedelta
from statistics import mean, median

def is_prime(n): return n > 1 and all(n % d for d in range(2, math.isqrt(n) + 1))

def fib(n):
    a, b = 0, 1
    for _ in range(n): a, b = b, a + b
    return a

def arithmetic(r):
    "Twenty-four questions for a calculator, as (question, context, answer); the even ones are `dev`."
    n = r.randint
    a, b, c, k, m = n(20000, 99999), n(2000, 9999), n(100, 999), n(25, 60), n(200, 900)
    d1, d2 = date(2019, n(1, 12), n(1, 28)), date(2025, n(1, 12), n(1, 28))
    xs, ys = [n(10, 999) for _ in range(15)], [n(1, 200) / 2 for _ in range(12)]
    basket = {x: (n(2, 9), n(150, 2000) / 100) for x in "pens paper tape glue ink".split()}
    marks = {x: (n(50, 100), n(1, 5)) for x in "maths history music biology".split()}
    h, mi, s, km, v, pct, yr = n(3, 20), n(1, 59), n(1, 59), n(120, 900), n(40, 110), n(11, 89), n(5, 25)
    rate, loan = n(11, 79) / 10, n(10, 99) * 100
    p, q = r.choice([101, 103, 107, 109, 113]), r.choice([211, 223, 227, 229, 233])
    return [
        (f"What is {a} times {b}?", None, a * b),
        (f"Multiply {b} by {c} and subtract {a}.", None, b * c - a),
        (f"What is the sum of the digits of 2 to the power of {k}?", None, sum(map(int, str(2 ** k)))),
        (f"How many digits does {c} to the power of {k} have?", None, len(str(c ** k))),
        (f"How many days lie between {d1} and {d2}?", None, (d2 - d1).days),
        (f"Which date comes {m} days after {d1}? Answer as YYYY-MM-DD.", None, str(d1 + timedelta(days=m))),
        (f"I put {loan} euros in a savings account at {rate} % interest a year, compounded yearly. "
         f"How much is it after {yr} years, rounded to two decimals?", None, round(loan * (1 + rate / 100) ** yr, 2)),
        (f"A town of {a} people shrinks by {rate} % every year. How many people are left after {yr} years, "
         "rounded to the nearest whole number?", None, round(a * (1 - rate / 100) ** yr)),
        (f"How many prime numbers are there below {m}?", None, sum(map(is_prime, range(m)))),
        (f"What is the sum of all prime numbers smaller than {m}?", None, sum(filter(is_prime, range(m)))),
        (f"Add up all multiples of 7 that are smaller than {b}.", None, sum(range(7, b, 7))),
        (f"What is 1 squared plus 2 squared and so on up to {m} squared?", None, sum(i * i for i in range(m + 1))),
        ("What is the average of these numbers? Round to two decimals.", xs, round(mean(xs), 2)),
        ("What is the median of these numbers?", ys, float(median(ys))),
        ("This basket lists, for each article, how many and the price of one. What does it all cost, to the cent?",
         basket, round(sum(i * j for i, j in basket.values()), 2)),
        ("Each subject has a mark and a weight. What is the weighted average of the marks, rounded to two decimals?",
         marks, round(sum(i * j for i, j in marks.values()) / sum(j for _, j in marks.values()), 2)),
        (f"How many seconds are {h} hours, {mi} minutes and {s} seconds?", None, h * 3600 + mi * 60 + s),
        (f"A train covers {km} km at a steady {v} km/h. How many minutes does it take, to one decimal?", None,
         round(km / v * 60, 1)),
        (f"What is {pct} % of {a}, rounded to two decimals?", None, round(a * pct / 100, 2)),
        (f"A price rises by {pct} % and then falls by {pct} %. It was {b} at the start; what is it at the end, "
         "rounded to two decimals?", None, round(b * (1 + pct / 100) * (1 - pct / 100), 2)),
        (f"What is the remainder when {c} to the power of {m} is divided by {p}?", None, pow(c, m, p)),
        (f"What is the largest prime factor of {p * q}?", None, q),
        (f"With the Fibonacci numbers starting F(1) = 1, F(2) = 1, what is F({k})?", None, fib(k)),
        (f"What is the greatest common divisor of {p * c * 6} and {p * b * 4}?", None, math.gcd(p * c * 6, p * b * 4))]
