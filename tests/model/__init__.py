"""The whole processor in a simulated world, in which everything may happen between any two of its steps.

world.py is what one test drives; postgres.py, connector.py and kafka.py are the servers, owner.py a process
that runs the real `processor.app.Processor`, actor.py what lets it pause between its steps.
"""
