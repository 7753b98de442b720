// Package supervise keeps one model server alive: the one of one GPU.
//
// A Supervisor starts the server and takes it through the states of preparation: it waits until
// the server answers, has the model fetched if it is not there, loads it, verifies that it is in
// the GPU's memory, and runs a smoke test. Only then is work admitted; how that is done is up to
// the Admission. The time in which the server serves is a session. Health checks watch it, and a
// session ends with the first of them that fails:
//
//   - the process exits;
//   - those that use it say that no token comes any more (a stall);
//   - the rate falls to that of a CPU;
//   - it does not answer pings;
//   - the model is not in the GPU's memory any more, or there is too little memory;
//   - its runner crashes again and again.
//
// The requests in flight then fail as retryable. A server that stalled may recover: with all
// requests taken away it loads the model again and runs the smoke test. In all other cases it is
// stopped, with everything that it started, and the restart policy decides when the next one
// starts, with how many slots, or that the GPU is given up.
package supervise
