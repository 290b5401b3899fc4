// Package election decides which one of many processes leads, by a lock object in the Kubernetes API.
//
// What it promises:
//
//   - Every write of the lock is based on the version that was read, so that of two candidates one wins and the
//     other learns it. A lock is never deleted, and a write whose outcome is unknown is read back before anything is
//     concluded from it.
//   - A leader's Term is valid for at most two thirds of its lease after the start of the last renewal that is known
//     to have happened, by its own monotonic clock. Nobody else takes its lock by expiry before the whole lease has
//     passed, by his.
//   - A lock is released only after Options.Lead has returned, and a lock that a successor holds is never touched.
//   - A settled follower makes no requests: it has watches open, and reads only when one ends or the lock falls silent.
//   - Run returns when everything that it started has returned.
//
// What it does not promise: that there are never two leaders. Clocks whose rates differ by more than half, a machine
// that is suspended with its monotonic clock, a request that is delayed on its way, a person who edits the lock, or a
// wrong proof of death (a Pod deleted by force on a node that is cut off) can make two processes lead for a while. A
// leader's writes must be fenced by something of their own; Term.Epoch is there to help with it. Nor is it fair:
// any candidate may win any number of times.
package election
