// A stand-in for the Android SDK's, with what Android.kt uses of it.
package android.os;

public abstract class ParcelFileDescriptor {
    public abstract int getFd();
}
