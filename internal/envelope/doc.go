// Package envelope is the unit that is signed, stored, forwarded and recognised:
// one header under one signature, 1 to 1,024 items, and the certificate that lets
// the writer speak in the group (spec §4).
//
// Check holds the faults that every honest router would see in the same bytes: it
// knows no clock, store or policy. What depends on time, place and admission is
// the gate's. An envelope keeps the bytes that it came in; a router forwards
// those and never encodes again. The package never opens a body, except for
// PlainItems, which only an end calls.
//
// What holds:
//   - An Envelope that Read, Parse or Sign returned is never changed afterwards,
//     so any number of goroutines and links may share it.
//   - The id covers the header and through it body and certificate body, but no
//     signature: a copy with another signature has the same id (spec §2.2).
//   - Encoding what was parsed gives the same bytes.
package envelope
