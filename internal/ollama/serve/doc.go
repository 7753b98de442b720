// Package serve finds the GPUs of this machine and runs an Ollama server of its own on each of
// them.
//
// A server is in a process group of its own, so that Ctrl-C does not reach it and nothing of it
// is left when the group is ended: an Ollama server that is killed leaves its runner behind, with
// the GPU's memory. It carries a mark in its environment, which its runners inherit: the path of
// the file whose lock stands for the GPU. Who holds the lock may end every process with its mark,
// since whoever started it is gone; a process without the mark is somebody else's Ollama and
// stays as it is. So what a consumer leaves behind that was killed is ended by the next one.
//
// It works on Linux only.
package serve
