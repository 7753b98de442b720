// Package ollamasim is a simulated Ollama server: the part of its HTTP API that a consumer uses,
// in front of a GPU that only keeps time. Slots, the queue before them, the speed that falls with
// the load, the ends of answers, the errors and their texts are those of Ollama 0.17.4; the
// answers are readable and say nothing. It says that it is simulated, and all of its models are
// called simulated/NAME, so that nothing it makes up passes for the answer of a real model. It is
// for trying things out where there is no Ollama, for benchmarks, and for faults that a real server
// cannot be asked for.
package ollamasim
