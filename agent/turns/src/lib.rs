//! The turn machine: endpointing, pause, interruption, playout truth; sans-IO.
