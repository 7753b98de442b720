// Package view draws for the terminal what commands have to show: how far a run is, what it will
// cost, whether it is accounted for, its answers and its dead letters. It decides nothing, and
// text from outside is made harmless here before it reaches a terminal.
package view
