// Package tree answers one question for each root: which neighbour is my parent?
// It keeps one tree per root by announcements that every router on the way has
// signed, chooses parents so that they never form a cycle, and decides which roots
// there are (spec §8, rules T1 to T8 and R1 to R4). It is a pure state machine: it
// sends announce, retract and seqreq, and asks for signatures to be made and
// checked.
//
// It knows no message and no interest. Who grafts, prunes and tells interest is
// backbone, which reads Changes after every input. Only automatic roots (class 1,
// mode auto) exist in this version; what is announced of pinned roots is ignored.
//
// What holds, whatever an honest network goes through:
//   - I1: parent pointers over live links have no cycle, at any instant. While A
//     points at B, fd(B) is strictly better than fd(A), and a strict order has no
//     cycle. It rests on T1 (choose only what is better than all that I ever
//     announced) and on T4 (remember what I announce before it is sent).
//   - I2: the number that a router announces for a root never falls.
//   - I3: fd changes only in the step that fixes an announcement, and when the
//     tree is forgotten (T8). A tree that is pushed out by better roots leaves its
//     fd behind for as long as somebody may still point here.
//   - I4: in a quiet connected network everybody agrees on the counting roots and
//     has reach to each, at the sum of the costs on its chain.
//   - What a neighbour sent has no influence before its signatures were checked,
//     and none after something newer came over the same link.
package tree
