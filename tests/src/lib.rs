//! Scripted upstream and rigs for the tests of the built programs.
