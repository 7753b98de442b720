// Package serve runs an Ollama server on each of this machine's GPUs. It works on Linux only.
//
// A GPU is reserved before a server runs on it. The reservation is a lock on a file: it ends with
// the process that holds it, also if that is killed.
//
// A server is in a process group of its own. So Ctrl-C does not reach it, and the group can be
// ended as a whole: an Ollama server that is killed alone leaves its runner behind, with the GPU's
// memory. Each server also carries a marker in its environment, which its runners inherit: the path
// of the locked file. The holder of the lock may end every process with that marker, because the
// process that started it is gone. A process without the marker belongs to another Ollama and is
// left alone. So the next consumer ends what a killed one has left behind.
package serve
