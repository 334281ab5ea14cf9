"""The books: double entry, folded from the facts of the log, and written for Beancount and hledger.

Every fact that moves money becomes one booking whose postings add up to nothing in each currency. What raises an account is
positive; what the consortium owes or earned is negative (as both programs have it).

Each process that owns money has a module here, named as the process is, whose table says what each of its facts does to the
books; `fold` lists them, and the processes that own none. What is the same for all is in `books`, the two formats are in `export`.

Money in transit is what the treasury passed on to a stream, or paid for it, and the stream has not recorded yet. When no step
is owed any more, there is none.
"""
