"""The loops of linear maps on a CPU: some blocks of columns per call.

The basis is read once, front to back. Seven components at a time stay in the nearest caches while every face
of the batch uses them, four faces together: 28 products for each seven numbers of the basis, and 28
coefficients or running sums, which nearly fill 32 vector registers.
"""

from __future__ import annotations

from typing import no_type_check

import numba

TOGETHER = 7  # components at a time


@numba.njit(cache=True, nogil=True)
@no_type_check
def combine(coefficients, components, basis, mean, width, first_block, last_block, out):
    """Write mean + coefficients · basis[components] to some blocks of the columns of out (batch, d).

    The components number a multiple of TOGETHER: repeat one, its coefficients zero, where they would not.
    """
    batch = len(coefficients)
    fours = batch - batch % 4
    for block in range(first_block, last_block):
        columns = slice(block * width, min(block * width + width, out.shape[1]))
        for face in range(batch):
            out[face, columns] = mean[columns]
        for i in range(0, len(components), TOGETHER):
            rows = _rows(basis, components, i, columns)
            for face in range(0, fours, 4):
                _add_to_four(coefficients[face : face + 4], i, rows, _four(out, face, columns))
            for face in range(fours, batch):
                _add_to_one(coefficients[face], i, rows, out[face, columns])


@numba.njit(cache=True, nogil=True)
@no_type_check
def moments(values, components, basis, width, first_block, last_block, sums):
    """Write values · basis[components]ᵀ of each of some blocks to sums (blocks, batch, components)."""
    batch = len(values)
    fours = batch - batch % 4
    for block in range(first_block, last_block):
        columns = slice(block * width, min(block * width + width, values.shape[1]))
        for i in range(0, len(components), TOGETHER):
            rows = _rows(basis, components, i, columns)
            for face in range(0, fours, 4):
                _sum_four(_four(values, face, columns), rows, sums[block, face : face + 4, i : i + TOGETHER])
            for face in range(fours, batch):
                _sum_one(values[face, columns], rows, sums[block, face, i : i + TOGETHER])


@numba.njit(cache=True, nogil=True)
@no_type_check
def _rows(basis, components, i, columns):
    return (
        basis[components[i], columns],
        basis[components[i + 1], columns],
        basis[components[i + 2], columns],
        basis[components[i + 3], columns],
        basis[components[i + 4], columns],
        basis[components[i + 5], columns],
        basis[components[i + 6], columns],
    )


@numba.njit(cache=True, nogil=True)
@no_type_check
def _four(values, face, columns):
    return (
        values[face, columns],
        values[face + 1, columns],
        values[face + 2, columns],
        values[face + 3, columns],
    )


@numba.njit(cache=True, nogil=True)
@no_type_check
def _seven(row, i):
    return row[i], row[i + 1], row[i + 2], row[i + 3], row[i + 4], row[i + 5], row[i + 6]


@numba.njit(cache=True, nogil=True, fastmath={"contract"})
@no_type_check
def _add_to_four(coefficients, i, rows, faces):
    r0, r1, r2, r3, r4, r5, r6 = rows
    p0, p1, p2, p3, p4, p5, p6 = _seven(coefficients[0], i)
    q0, q1, q2, q3, q4, q5, q6 = _seven(coefficients[1], i)
    s0, s1, s2, s3, s4, s5, s6 = _seven(coefficients[2], i)
    t0, t1, t2, t3, t4, t5, t6 = _seven(coefficients[3], i)
    p, q, s, t = faces
    for j in range(len(p)):  # added in this order: a sum of its own would take one more instruction
        a, b, c, d, e, f, g = r0[j], r1[j], r2[j], r3[j], r4[j], r5[j], r6[j]
        p[j] = p[j] + p0 * a + p1 * b + p2 * c + p3 * d + p4 * e + p5 * f + p6 * g
        q[j] = q[j] + q0 * a + q1 * b + q2 * c + q3 * d + q4 * e + q5 * f + q6 * g
        s[j] = s[j] + s0 * a + s1 * b + s2 * c + s3 * d + s4 * e + s5 * f + s6 * g
        t[j] = t[j] + t0 * a + t1 * b + t2 * c + t3 * d + t4 * e + t5 * f + t6 * g


@numba.njit(cache=True, nogil=True, fastmath={"contract"})
@no_type_check
def _add_to_one(coefficients, i, rows, out):
    r0, r1, r2, r3, r4, r5, r6 = rows
    p0, p1, p2, p3, p4, p5, p6 = _seven(coefficients, i)
    for j in range(len(out)):
        a, b, c, d, e, f, g = r0[j], r1[j], r2[j], r3[j], r4[j], r5[j], r6[j]
        out[j] = out[j] + p0 * a + p1 * b + p2 * c + p3 * d + p4 * e + p5 * f + p6 * g


@numba.njit(cache=True, nogil=True, fastmath={"contract", "reassoc"})
@no_type_check
def _sum_four(faces, rows, sums):
    r0, r1, r2, r3, r4, r5, r6 = rows
    p, q, s, t = faces
    p0 = p1 = p2 = p3 = p4 = p5 = p6 = sums.dtype.type(0)
    q0 = q1 = q2 = q3 = q4 = q5 = q6 = sums.dtype.type(0)
    s0 = s1 = s2 = s3 = s4 = s5 = s6 = sums.dtype.type(0)
    t0 = t1 = t2 = t3 = t4 = t5 = t6 = sums.dtype.type(0)
    for j in range(len(p)):
        a, b, c, d = p[j], q[j], s[j], t[j]
        e = r0[j]
        p0, q0, s0, t0 = p0 + a * e, q0 + b * e, s0 + c * e, t0 + d * e
        e = r1[j]
        p1, q1, s1, t1 = p1 + a * e, q1 + b * e, s1 + c * e, t1 + d * e
        e = r2[j]
        p2, q2, s2, t2 = p2 + a * e, q2 + b * e, s2 + c * e, t2 + d * e
        e = r3[j]
        p3, q3, s3, t3 = p3 + a * e, q3 + b * e, s3 + c * e, t3 + d * e
        e = r4[j]
        p4, q4, s4, t4 = p4 + a * e, q4 + b * e, s4 + c * e, t4 + d * e
        e = r5[j]
        p5, q5, s5, t5 = p5 + a * e, q5 + b * e, s5 + c * e, t5 + d * e
        e = r6[j]
        p6, q6, s6, t6 = p6 + a * e, q6 + b * e, s6 + c * e, t6 + d * e
    _write(sums[0], p0, p1, p2, p3, p4, p5, p6)
    _write(sums[1], q0, q1, q2, q3, q4, q5, q6)
    _write(sums[2], s0, s1, s2, s3, s4, s5, s6)
    _write(sums[3], t0, t1, t2, t3, t4, t5, t6)


@numba.njit(cache=True, nogil=True, fastmath={"contract", "reassoc"})
@no_type_check
def _sum_one(values, rows, sums):
    r0, r1, r2, r3, r4, r5, r6 = rows
    p0 = p1 = p2 = p3 = p4 = p5 = p6 = sums.dtype.type(0)
    for j in range(len(values)):
        a = values[j]
        p0, p1, p2, p3 = p0 + a * r0[j], p1 + a * r1[j], p2 + a * r2[j], p3 + a * r3[j]
        p4, p5, p6 = p4 + a * r4[j], p5 + a * r5[j], p6 + a * r6[j]
    _write(sums, p0, p1, p2, p3, p4, p5, p6)


@numba.njit(cache=True, nogil=True)
@no_type_check
def _write(row, p0, p1, p2, p3, p4, p5, p6):
    row[0], row[1], row[2], row[3], row[4], row[5], row[6] = p0, p1, p2, p3, p4, p5, p6
