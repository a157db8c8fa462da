// Package cbor reads and writes the one dialect of CBOR that UPSYCLE speaks:
// unsigned integers in their shortest form, byte strings, UTF-8 text without
// control characters, arrays of definite length, and null (spec §2.3; RFC 8949
// §4.2.1). There are no maps, tags, floats, negative numbers, indefinite lengths
// or truth values: 0 and 1 stand for the last.
//
// It is a bounded reader and an appending writer, and knows no frame and no
// document. It is no general CBOR library and will not become one.
//
// What holds:
//   - Each value has one encoding, so equal values are equal bytes and what was
//     read can be kept and compared as it came.
//   - A Reader allocates nothing from a length that the input claims: strings
//     point into the input, counts are held against the bytes that are left.
//   - A Reader refuses by remembering the first reason; it never panics on input.
package cbor
