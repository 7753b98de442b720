// Package autotune finds the number of slots with which a GPU is fastest, while it works.
//
// A model server answers several requests at a time, one in each of its slots. More slots usually
// mean more tokens per second, but not always: a kernel may be made for up to eight columns, or
// the memory's bandwidth may be used up. The best number differs from GPU to GPU and from model to
// model, so it is measured on the real work. Only the time in which all slots are busy counts.
//
// # How two numbers are compared
//
// The number that is best so far (A) and another one (B) are compared in the order A, B, A. With
// the rates a1, b and a2 in tokens per second, one comparison yields the ratio
//
//	r = b / ((a1 + a2) / 2)
//
// What changes by itself in the meantime, such as the length of the prompts or another program on
// the machine, changes a2 as well, and is not taken for an effect of the number. B replaces A if
// the mean of r is at least t, where
//
//	t = 1.02  if B has more slots: they make every single answer slower, so they have to pay
//	t = 0.995 if B has fewer slots
//
// With n comparisons, the standard deviation sd(r) and the noise z, a running mean of
// max(|a1 - a2| / mean(a1, a2), twice the relative standard error of a rate), the uncertainty is
//
//	u = max(z, sd(r)) / sqrt(n)
//
// The comparison is repeated, at most 25 times, while it is too close to call:
//
//	|mean(r) - t| < (1 + 1/(2n)) u   and   u > 1.5 * 0.015
//
// # How long a number is in use
//
// A window is the use of one number of slots. It is split into slices of 2 s; v is its rate and s
// the standard error of v, estimated from the slices. With the full time T, a answers, n slots and
// the rate w of the number that it is compared with (0: none), the window is over as soon as
//
//	T >= 4 s,  a >= n   and v + 3s < 0.85 w               far behind
//	T >= 8 s,  a >= 2n  and s <= 0.015 v                  known well enough
//	T >= 16 s, a >= 2n  and |v - w| > 3s + 0.03 w, w > 0  clearly different
//	T >= 30 s, a >= n/2                                   long enough
//	T >= 150 s                                            in any case
//
// The first four need at least one answer.
//
// # What is compared when
//
// A search begins with numbers that are far apart, the powers of two and the maximum, the nearest
// to the best first, and ends with neighbors of the best. After it the best stays in use, and one
// other number is probed every ten minutes. The search is repeated if a probe wins, or if the rate
// changes twice in a row by more than 12 %, and by more than three times what is usual; then 5 to
// 40 minutes have to lie between two searches, the more the longer nothing new was found.
package autotune
