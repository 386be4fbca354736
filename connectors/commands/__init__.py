"""The commands of `yrd`, by whom they serve. Each is thin: read the arguments, call one function, print the outcome."""
